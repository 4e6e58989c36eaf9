-- Budget of one installation: GitHub's limits and the rest of them. Included after common.lua.
--
-- budget:<inst> holds the settings under the names below; DEFAULTS apply to missing ones. In an App pool it also holds
-- `apps`, the further Apps of the pool, or `pool`, the pool of a further App, and `at`, the ms at which a process last
-- announced it; see pool.lua. limits:<inst> holds:
--   k:<endpoint>   points of an endpoint; q:<endpoint> its reads; n registrations; m writes, while slowed down.
--                  Each is `free slot used before`: the time of a GCRA in ms, and the use in this and the last period
--   w:<resource>   `limit remaining reset-ms mark base since-ms`, the newest primary window that a response reported.
--                  mark is its reset by GitHub's clock, in s; base is the remaining number when it was first seen
--   u:<resource>   `count before slot last-ms`, requests in flight, charged in this slot of time and in the last one
--   x:<endpoint>   the resource of its last response
--   mr, mt         writes a minute after the last slow-down, and the time from which the rate may grow
--   pw, pp, pj     a probe is required after a pause; ms at which the probe in flight counts as lost; its job
--   ul             set while GitHub is known to have no limits, because its responses name none
--   bo, ba         ms the circuit breaker opened for (missing: closed); the last outcomes, `ms:0` bad, `ms:1` good
local DEFAULTS = {
  on = 1, points = 900, minute = 60000, registrations = 1500, span = 300000, concurrency = 80, reserve = 10,
  team = 40, bad = 5, answers = 20, within = 60000, open = 5000, longest = 60000, probe = 30000,
}
local SETTINGS = {
  'on', 'points', 'minute', 'registrations', 'span', 'concurrency', 'reserve', 'team', 'bad', 'answers', 'within',
  'open', 'longest', 'probe',
}
local WRITE, READ = 5, 1
local BURST = 10 -- requests; the largest burst ahead of a rate
local MIN_MUTATION_RATE = 6 -- writes a minute
local HOUR = 3600000
local LATE = 1000 -- ms; a request sent this long after its payment is late
local UNANSWERED = 30000 -- ms; longer than any request
local KEEP = 31 * 24 * HOUR -- ms; longer than any pause
local REASONS = { 'budget', 'github_outage', 'secondary_limit', 'admin', 'suspended', 'refused' }
-- The dearest request of a job, by lane. The claim pays for it.
local FIRST = {
  provision = { lane = 'provision', endpoint = 'generate-jitconfig', write = true, registers = true, urgent = false },
  deprovision = { lane = 'deprovision', endpoint = 'delete-runner', write = true, registers = false, urgent = true },
  drift = { lane = 'drift', endpoint = 'runner', write = false, registers = false, urgent = false },
}
local FIRST_FIELDS = {
  'pw', 'pp', 'mr', 'mt', 'm', 'n', 'w:core', 'u:core', 'k:generate-jitconfig', 'x:generate-jitconfig', 'k:runner',
  'q:runner', 'x:runner', 'k:delete-runner', 'x:delete-runner',
}

local function setting(inst, name)
  return tonumber(redis.call('HGET', P .. 'budget:' .. inst, name)) or DEFAULTS[name]
end

-- Returns the budget of one installation, read once and written once per script. Other fields are read on demand.
local function load_budget(inst, fields)
  local B = { inst = inst, have = {}, changed = {}, levels = {}, windows = {}, flights = {}, lists = {}, accounts = {} }
  B.new = true
  local settings = redis.call('HMGET', P .. 'budget:' .. inst, 'apps', 'pool', unpack(SETTINGS))
  B.apps, B.pool = settings[1], settings[2]
  for n, name in ipairs(SETTINGS) do
    B[name] = tonumber(settings[2 + n]) or DEFAULTS[name]
  end
  fields = { 'ul', unpack(fields) }
  local values = redis.call('HMGET', P .. 'limits:' .. inst, unpack(fields))
  for n, field in ipairs(fields) do
    B.have[field] = values[n]
    B.new = B.new and not values[n]
  end
  if B.have.ul then
    B.on = 0
  end
  return B
end

local function get(B, field)
  if B.have[field] == nil then
    B.have[field] = redis.call('HGET', P .. 'limits:' .. B.inst, field)
  end
  return B.have[field]
end

-- A value of false deletes the field.
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
      put(B, 'w:' .. resource, string.format('%d %d %d %d %d %d', window.limit, window.reported, window.reset,
        window.mark, window.base, window.since))
    end
  end
  for resource, flight in pairs(B.flights) do
    if flight.taken then
      put(B, 'u:' .. resource, string.format('%d %d %d %d', flight.count, flight.before, flight.slot, flight.last))
    end
  end
  for _, account in pairs(B.accounts) do
    if account.taken then
      local words = {}
      for field, value in pairs(account.set) do
        words[#words + 1] = field
        words[#words + 1] = value
      end
      if account.is_new then
        redis.call('DEL', account.key)
      end
      redis.call('HSET', account.key, unpack(words))
      if account.is_new then
        redis.call('PEXPIRE', account.key, math.ceil(account.life))
      end
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
    redis.call('HDEL', P .. 'limits:' .. B.inst, unpack(gone))
  end
  if #set > 0 then
    redis.call('HSET', P .. 'limits:' .. B.inst, unpack(set))
    if B.new then
      redis.call('PEXPIRE', P .. 'limits:' .. B.inst, KEEP)
    end
  end
end

local function touch_budget(inst)
  redis.call('ZADD', P .. 'sites', now, inst)
  redis.call('ZREMRANGEBYRANK', P .. 'sites', 0, -1001)
  redis.call('PEXPIRE', P .. 'limits:' .. inst, KEEP)
end

-- GCRA that allows at most `limit` in any period: a burst first, and the rest at an even pace. GitHub counts a request
-- on arrival, we count it when charged. We therefore use only 60/61 of the rate, so that up to 1 s of transit time
-- cannot push two periods' requests into one. A burst costs the rate as much as it allows at once. It is at most a
-- ninetieth of the limit, so that 97 % of GitHub's limit can be used.
local function gcra_shape(limit, period, unit)
  local burst = math.max(unit, math.min(BURST * unit, math.floor(limit / 90)))
  return { burst = burst, pace = period * 61 / 60 / (limit - burst), period = period }
end

-- Returns the current writes a minute, and the number that the points would allow.
local function mutation_rate(B)
  local most = B.points / WRITE
  local rate = tonumber(get(B, 'mr'))
  if not rate then
    return most, most
  end
  local clean = math.max(math.floor((now - tonumber(get(B, 'mt') or now)) / B.minute), 0)
  return math.min(rate * 1.05 ^ clean, most), most
end

-- Returns the buckets that a call is charged to, with the cost in each.
local function buckets_of(B, call)
  if B.lists[call] then
    return B.lists[call]
  end
  local points = gcra_shape(B.points, B.minute, WRITE)
  local list = { { field = 'k:' .. call.endpoint, cost = call.write and WRITE or READ, shape = points } }
  if call.write and not call.instead then
    local rate, most = mutation_rate(B)
    if rate < most then
      list[#list + 1] = { field = 'm', cost = 1, shape = gcra_shape(rate, B.minute, 1) }
    end
  else
    -- A burst of points would allow more reads than a burst may have.
    local reads = { burst = BURST, pace = points.pace, period = points.period }
    list[#list + 1] = { field = 'q:' .. call.endpoint, cost = READ, shape = reads }
  end
  if call.registers then
    local of = B.home or B
    list[#list + 1] = { field = 'n', cost = 1, shape = gcra_shape(of.registrations, of.span, 1) }
  end
  B.lists[call] = list
  return list
end

local function level_of(B, field)
  -- GitHub counts registrations of all Apps together.
  B = field == 'n' and B.home or B
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

-- Ms of the bucket's time in use at this moment. At most the burst plus late charges; after a step back of Redis's
-- clock at most the burst.
local function bucket_debt(bucket, level, at)
  local s = bucket.shape
  local stepped_back = level.slot > math.floor(now / s.period)
  local most = s.burst * s.pace + (stepped_back and 0 or s.period / 2)
  return math.min(math.max(level.free - at, 0), most)
end

-- Ms from `at` until the last of `calls` such calls may be sent.
local function bucket_wait(bucket, level, calls, at)
  local s = bucket.shape
  return math.max(bucket_debt(bucket, level, at) + (calls * bucket.cost - s.burst) * s.pace, 0)
end

-- Returns the current period, and the use in it and in the one before.
local function period_use(level, period)
  local slot = math.floor(now / period)
  if level.slot == slot - 1 then
    return slot, 0, level.used
  elseif level.slot ~= slot then
    return slot, 0, 0
  end
  return slot, level.used, level.before
end

local function charge_bucket(B, bucket)
  local level = level_of(B, bucket.field)
  local slot, used, before = period_use(level, bucket.shape.period)
  level.free = now + bucket_debt(bucket, level, now) + bucket.cost * bucket.shape.pace
  level.slot, level.used, level.before, level.taken = slot, used + bucket.cost, before, true
end
