-- Whether a call may go now, and the one that goes first after a pause. Goes behind window.lua.

-- Ms until no probe is under way: after a pause one request goes first.
local function probe_wait(B)
  if not get(B, 'pw') then
    return 0
  end
  return math.max(tonumber(get(B, 'pp') or '0') - now, 0)
end

-- Ms until this call may go, as far as GitHub's limits say.
local function budget_wait(B, call)
  local ms = probe_wait(B)
  if B.on == 0 then
    return ms
  end
  ms = math.max(ms, (window_wait(B, call)))
  for _, bucket in ipairs(buckets_of(B, call)) do
    ms = math.max(ms, bucket_wait(bucket, level_of(B, bucket.field), 1, now))
  end
  -- Thousandths are lost when a level is stored.
  return ms < 0.01 and 0 or math.ceil(ms)
end

-- Something is sent. After a pause it is the probe; the job it is sent for (if any) makes room when it ends.
local function send_ahead(B, job)
  if get(B, 'pw') then
    put(B, 'pp', now + B.probe)
    put(B, 'pj', job ~= '' and job)
  end
end

-- Takes what `budget_wait` found free.
local function charge_budget(B, call, team, weight)
  if B.on == 0 then
    return
  end
  charge_window(B, call, team, weight)
  for _, bucket in ipairs(buckets_of(B, call)) do
    take(B, bucket)
  end
end

-- What was charged was not sent.
local function refund_budget(B, call, team)
  if B.on == 0 then
    return
  end
  answered(B, call.endpoint)
  enter_account(B, call, team, 1, -1)
  for _, bucket in ipairs(buckets_of(B, call)) do
    give_back(B, bucket)
  end
end

-- What was paid for so long ago is sent only now. Its charge has drained away meanwhile, and others were let through for
-- it; so it is charged again, as far as it has. Nothing waits for that: those who come next do.
local function charge_late(B, call, age)
  if B.on == 0 or age < LATE then
    return
  end
  for _, bucket in ipairs(buckets_of(B, call)) do
    postpone(B, bucket, age)
  end
end

local function pause_fields(inst)
  local fields = {}
  for n, reason in ipairs(REASONS) do
    fields[n] = 'i:' .. inst .. ':' .. reason
  end
  return fields
end

-- Ms left of the installation's longest pause, people's pauses included or not, and its reason.
local function installation_pause(inst, admin)
  local left, why = 0, nil
  for n, until_ms in ipairs(redis.call('HMGET', P .. 'p', unpack(pause_fields(inst)))) do
    local ms = tonumber(until_ms or '0') - now
    if ms > left and (admin or REASONS[n] ~= 'admin') then
      left, why = ms, REASONS[n]
    end
  end
  return left, why
end

-- A pause GitHub gave cause for: one request goes first when it ends.
local function ask_for_probe(B)
  put(B, 'pw', '1')
  put(B, 'pp', false)
  put(B, 'pj', false)
end

-- An answer came: everybody may go on, if it was the probe's.
local function end_probe(B)
  if get(B, 'pw') and get(B, 'pp') and installation_pause(B.inst, false) == 0 then
    put(B, 'pw', false)
    put(B, 'pp', false)
    put(B, 'pj', false)
    ring()
  end
end

-- The job sent ahead has ended or lost its worker: if no answer came of it, another goes. Answers whether it was the one.
local function leave_probe(inst, id)
  local g = P .. 'g:' .. inst
  if redis.call('HGET', g, 'pj') ~= id then
    return false
  end
  redis.call('HDEL', g, 'pp', 'pj')
  return true
end

-- Never shortens. Answers ms left.
local function hold_installation(inst, reason, ms)
  local scope = 'i:' .. inst .. ':' .. reason
  local until_ms = math.max(tonumber(redis.call('HGET', P .. 'p', scope) or '0'), now + ms)
  redis.call('HSET', P .. 'p', scope, until_ms)
  return until_ms - now
end
