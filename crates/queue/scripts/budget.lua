-- What GitHub allows one installation, and what is left of it. Goes behind common.lua.
--
-- b:<inst> holds the settings under the names below; what is not written there is as below. g:<inst> holds:
--   k:<endpoint>   points of an endpoint; q:<endpoint> its reads; n registrations; m writes, while slowed down.
--                  Each `free slot used before`: a GCRA's time in ms, and what was used in this and the last period
--   w:<resource>   `limit remaining reset-ms`, the newest primary window an answer told of
--   u:<resource>   `count last-ms`, charges to a window nobody knows
--   x:<endpoint>   the resource its last answer named
--   mr, mt         writes a minute after the last slow-down, and since when it may grow
--   pw, pp, pj     a pause asks for a probe; ms until the probe that was sent counts as lost; the job that was sent
--   bo, ba         ms the circuit breaker opened for (missing: closed); the last answers, `ms:0` bad, `ms:1` good
local DEFAULTS = {
  on = 1, points = 900, minute = 60000, registrations = 1500, span = 300000, concurrency = 80, reserve = 10,
  team = 40, bad = 5, answers = 20, within = 60000, open = 5000, longest = 60000, probe = 30000,
}
local SETTINGS = {
  'on', 'points', 'minute', 'registrations', 'span', 'concurrency', 'reserve', 'team', 'bad', 'answers', 'within',
  'open', 'longest', 'probe',
}
local WRITE, READ = 5, 1
local BURST = 10 -- requests; the most anything may run ahead of its rate
local SLOWEST = 6 -- writes a minute
local HOUR = 3600000
local UNANSWERED = 30000 -- longer than any request lasts
local KEEP = 31 * 24 * HOUR -- longer than any pause
local REASONS = { 'budget', 'github_outage', 'secondary_limit', 'admin' }
-- What a job's dearest request is, by lane. The claim pays for it.
local FIRST = {
  provision = { endpoint = 'generate-jitconfig', write = true, registers = true, urgent = false },
  deprovision = { endpoint = 'delete-runner', write = true, registers = false, urgent = true },
  drift = { endpoint = 'runner', write = false, registers = false, urgent = false },
}
local FIRST_FIELDS = {
  'pw', 'pp', 'mr', 'mt', 'm', 'n', 'w:core', 'u:core', 'k:generate-jitconfig', 'x:generate-jitconfig', 'k:runner',
  'q:runner', 'x:runner', 'k:delete-runner', 'x:delete-runner',
}

local function setting(inst, name)
  return tonumber(redis.call('HGET', P .. 'b:' .. inst, name)) or DEFAULTS[name]
end

-- The budget of one installation, read once and written once per script. Fields not named here are read when needed.
local function load_budget(inst, fields)
  local B = { inst = inst, have = {}, changed = {}, levels = {}, windows = {}, lists = {}, new = true }
  local settings = redis.call('HMGET', P .. 'b:' .. inst, unpack(SETTINGS))
  for n, name in ipairs(SETTINGS) do
    B[name] = tonumber(settings[n]) or DEFAULTS[name]
  end
  local values = redis.call('HMGET', P .. 'g:' .. inst, unpack(fields))
  for n, field in ipairs(fields) do
    B.have[field] = values[n]
    B.new = B.new and not values[n]
  end
  return B
end

local function get(B, field)
  if B.have[field] == nil then
    B.have[field] = redis.call('HGET', P .. 'g:' .. B.inst, field)
  end
  return B.have[field]
end

-- A value of false forgets the field.
local function put(B, field, value)
  B.have[field] = value
  B.changed[field] = true
end

local function store_budget(B)
  for field, level in pairs(B.levels) do
    if level.taken then
      put(B, field, string.format('%.3f %d %d %d', level.free, level.slot, level.used, level.before))
    end
  end
  for resource, window in pairs(B.windows) do
    if window and window.taken then
      put(B, 'w:' .. resource, string.format('%d %d %d', window.limit, window.left, window.reset))
    end
  end
  local set, gone = {}, {}
  for field in pairs(B.changed) do
    local value = B.have[field]
    if value then
      set[#set + 1] = field
      set[#set + 1] = value
    else
      gone[#gone + 1] = field
    end
  end
  if #gone > 0 then
    redis.call('HDEL', P .. 'g:' .. B.inst, unpack(gone))
  end
  if #set > 0 then
    redis.call('HSET', P .. 'g:' .. B.inst, unpack(set))
    if B.new then
      redis.call('PEXPIRE', P .. 'g:' .. B.inst, KEEP)
    end
  end
end

local function heard_of(inst)
  redis.call('ZADD', P .. 'sites', now, inst)
  redis.call('ZREMRANGEBYRANK', P .. 'sites', 0, -1001)
  redis.call('PEXPIRE', P .. 'g:' .. inst, KEEP)
end

-- A GCRA that lets at most `limit` through in any period: a burst ahead, and the rest at an even pace.
local function shape(limit, period, unit)
  local burst = math.max(unit, math.min(BURST * unit, math.floor(limit / 20)))
  return { burst = burst, pace = period / (limit - burst), period = period }
end

-- Writes a minute now, and how many the points would allow.
local function mutation_rate(B)
  local most = B.points / WRITE
  local rate = tonumber(get(B, 'mr'))
  if not rate then
    return most, most
  end
  local clean = math.max(math.floor((now - tonumber(get(B, 'mt') or now)) / B.minute), 0)
  return math.min(rate * 1.05 ^ clean, most), most
end

-- The buckets a call takes from, and how much from each.
local function buckets_of(B, call)
  if B.lists[call] then
    return B.lists[call]
  end
  local points = shape(B.points, B.minute, WRITE)
  local list = { { field = 'k:' .. call.endpoint, cost = call.write and WRITE or READ, shape = points } }
  if call.write and not call.instead then
    local rate, most = mutation_rate(B)
    if rate < most then
      list[#list + 1] = { field = 'm', cost = 1, shape = shape(rate, B.minute, 1) }
    end
  else
    -- A burst of points is worth more reads than a burst may have.
    local reads = { burst = BURST, pace = points.pace, period = points.period }
    list[#list + 1] = { field = 'q:' .. call.endpoint, cost = READ, shape = reads }
  end
  if call.registers then
    list[#list + 1] = { field = 'n', cost = 1, shape = shape(B.registrations, B.span, 1) }
  end
  B.lists[call] = list
  return list
end

local function level_of(B, field)
  local level = B.levels[field]
  if not level then
    local free, slot, used, before = string.match(get(B, field) or '', '^(%S+) (%S+) (%S+) (%S+)$')
    level = {
      free = tonumber(free or 0), slot = tonumber(slot or 0), used = tonumber(used or 0),
      before = tonumber(before or 0),
    }
    B.levels[field] = level
  end
  return level
end

-- Ms of the bucket's time in use at this moment. Never more than the burst, should Redis's clock step back.
local function debt(bucket, level, at)
  return math.min(math.max(level.free - at, 0), bucket.shape.burst * bucket.shape.pace)
end

-- Ms from `at` until the last of `calls` such calls may go.
local function bucket_wait(bucket, level, calls, at)
  local s = bucket.shape
  return math.max(debt(bucket, level, at) + (calls * bucket.cost - s.burst) * s.pace, 0)
end

-- How much went through in this period and the last, up to now.
local function tally(level, period)
  local slot = math.floor(now / period)
  if level.slot == slot - 1 then
    return slot, 0, level.used
  elseif level.slot ~= slot then
    return slot, 0, 0
  end
  return slot, level.used, level.before
end

local function take(B, bucket)
  local level = level_of(B, bucket.field)
  local slot, used, before = tally(level, bucket.shape.period)
  level.free = now + debt(bucket, level, now) + bucket.cost * bucket.shape.pace
  level.slot, level.used, level.before, level.taken = slot, used + bucket.cost, before, true
end

local function resource_of(B, endpoint)
  return get(B, 'x:' .. endpoint) or 'core'
end

-- The primary window as last told; nil when none is known or it is over.
local function window_of(B, resource)
  local window = B.windows[resource]
  if window == nil then
    local limit, left, reset = string.match(get(B, 'w:' .. resource) or '', '^(%S+) (%S+) (%S+)$')
    window = limit and { limit = tonumber(limit), left = tonumber(left), reset = tonumber(reset) } or false
    B.windows[resource] = window
  end
  return window and window.reset > now and window or nil
end

local function reserve_of(B, window, call)
  return call.urgent and 0 or math.ceil(window.limit * B.reserve / 100)
end

-- Charges to an unknown window that may still be under way.
local function unanswered(B, resource)
  local number, last = string.match(get(B, 'u:' .. resource) or '', '^(%S+) (%S+)$')
  if not last or tonumber(last) + UNANSWERED <= now then
    return 0, now
  end
  return tonumber(number), tonumber(last)
end

-- Ms until the primary window has room; second: true when a known window is used up.
local function window_wait(B, call)
  local resource = resource_of(B, call.endpoint)
  local window = window_of(B, resource)
  if window then
    local short = window.left <= reserve_of(B, window, call)
    return short and window.reset - now or 0, short
  end
  local number, last = unanswered(B, resource)
  return number < BURST and 0 or last + UNANSWERED - now, false
end

local function charge_window(B, call)
  local resource = resource_of(B, call.endpoint)
  local window = window_of(B, resource)
  if window then
    window.left, window.taken = math.max(window.left - 1, 0), true
  else
    put(B, 'u:' .. resource, string.format('%d %d', unanswered(B, resource) + 1, now))
  end
end

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

-- Takes what `budget_wait` found free.
local function charge_budget(B, call)
  if get(B, 'pw') then
    put(B, 'pp', now + B.probe)
  end
  if B.on == 0 then
    return
  end
  charge_window(B, call)
  for _, bucket in ipairs(buckets_of(B, call)) do
    take(B, bucket)
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

