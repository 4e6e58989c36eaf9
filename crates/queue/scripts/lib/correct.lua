-- Corrections of charges: answered, not sent, or sent late. Included after probe.lua. Claims do without it, because
-- each function costs every call of a script that defines it.

-- A response arrived, so GitHub has reported the cost of the request.
local function end_request(B, endpoint)
  local flight = requests_in_flight(B, resource_of(B, endpoint))
  if flight.count > 0 then
    flight.count, flight.taken = flight.count - 1, true
  elseif flight.before > 0 then
    flight.before, flight.taken = flight.before - 1, true
  end
end

-- Requests that may be sent, minus the reserve, before a caller must wait for the window or for responses.
local function free_requests(B, resource)
  local window, _, number = window_of(B, resource), requests_in_flight(B, resource)
  return window and left_of(B, window, resource) - reserve_of(B, window, {}) or BURST - number
end

-- Returns the charge of a request that was not sent to its bucket.
local function refund_bucket(B, bucket)
  local level = level_of(B, bucket.field)
  local slot, used, before = period_use(level, bucket.shape.period)
  level.free = now + math.max(bucket_debt(bucket, level, now) - bucket.cost * bucket.shape.pace, 0)
  level.slot, level.used, level.before, level.taken = slot, math.max(used - bucket.cost, 0), before, true
end

-- Moves a charge of this age to now: the part that has drained away is charged again.
local function recharge_bucket(B, bucket, age)
  local level = level_of(B, bucket.field)
  level.free = now + bucket_debt(bucket, level, now) + math.min(bucket.cost * bucket.shape.pace, age)
  level.slot, level.used, level.before = period_use(level, bucket.shape.period)
  level.taken = true
end

-- Refunds a charge whose request was not sent.
local function refund_budget(B, call, team)
  if B.on == 0 then
    return
  end
  end_request(B, call.endpoint)
  enter_account(B, call, team, 1, -1)
  for _, bucket in ipairs(buckets_of(B, call)) do
    refund_bucket(B, bucket)
  end
end

-- Charges a request again that is sent this long after its payment. Its charge has drained away meanwhile, and other
-- requests used the capacity. The request itself does not wait; later ones do.
local function charge_late(B, call, age)
  if B.on == 0 or age < LATE then
    return
  end
  for _, bucket in ipairs(buckets_of(B, call)) do
    recharge_bucket(B, bucket, age)
  end
end
