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

-- The job sent ahead has ended or lost its worker: if no answer came of it, another goes. Answers whether it was the one.
local function leave_probe(inst, id)
  local g = P .. 'limits:' .. inst
  if redis.call('HGET', g, 'pj') ~= id then
    return false
  end
  redis.call('HDEL', g, 'pp', 'pj')
  return true
end
