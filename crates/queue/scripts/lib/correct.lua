-- Corrections of what was charged: answered, not sent, or sent late. Goes behind probe.lua. Claims do without: each
-- function costs every call of a script that defines it.

-- An answer came: whatever it cost, GitHub has told.
local function answered(B, endpoint)
  local flight = under_way(B, resource_of(B, endpoint))
  if flight.count > 0 then
    flight.count, flight.taken = flight.count - 1, true
  elseif flight.before > 0 then
    flight.before, flight.taken = flight.before - 1, true
  end
end

-- Requests that may go, the reserve left out, before the window or the answers to those under way are waited for.
local function room_in(B, resource)
  local window, _, number = window_of(B, resource), under_way(B, resource)
  return window and left_of(B, window, resource) - reserve_of(B, window, {}) or BURST - number
end

-- What `take` took for a request that was not sent.
local function give_back(B, bucket)
  local level = level_of(B, bucket.field)
  local slot, used, before = tally(level, bucket.shape.period)
  level.free = now + math.max(debt(bucket, level, now) - bucket.cost * bucket.shape.pace, 0)
  level.slot, level.used, level.before, level.taken = slot, math.max(used - bucket.cost, 0), before, true
end

-- Makes a charge count from now that is `age` old: what of it has drained away comes back.
local function postpone(B, bucket, age)
  local level = level_of(B, bucket.field)
  level.free = now + debt(bucket, level, now) + math.min(bucket.cost * bucket.shape.pace, age)
  level.slot, level.used, level.before = tally(level, bucket.shape.period)
  level.taken = true
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
