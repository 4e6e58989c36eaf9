-- When would a job start? Goes behind budget.lua.
--
-- The answer is what the buckets, the primary window and the pauses allow while every lane takes its share. It grows
-- with the backlog and is never below the pause. How long jobs run is not known, so concurrency is not in it.
local SHARES = {}

-- Calls until the job's own, its own included, when only these lanes take from the same bucket.
local function calls_until(lane, ahead, waiting, rivals)
  local others, shares = 0, 0
  for _, other in ipairs(LANES) do
    if other ~= lane and rivals[other] and waiting[other] > 0 then
      others, shares = others + waiting[other], shares + SHARES[other]
    end
  end
  local mine = ahead + 1
  return mine + math.min(others, math.ceil(mine * shares / SHARES[lane]))
end

-- Ms from `at` until the window lets so many calls through.
local function window_outlook(B, call, calls, at)
  local resource = resource_of(B, call.endpoint)
  local window = window_of(B, resource)
  if not window then
    return 0
  end
  local kept, wait = reserve_of(B, window, call), 0
  local over = calls - math.max(left_of(B, window, resource) - kept, 0)
  if over > 0 and window.reset > at then
    wait = window.reset - at
  elseif window.reset <= at then
    over = calls
  end
  local each = math.max(window.limit - kept, 1)
  return wait + math.max(math.ceil(over / each) - 1, 0) * HOUR
end

local function rate_outlook(B, lane, ahead, waiting, at)
  local call, same, ms = FIRST[lane], {}, 0
  for _, other in ipairs(LANES) do
    same[other] = FIRST[other].endpoint == call.endpoint
  end
  local calls = calls_until(lane, ahead, waiting, same)
  for _, bucket in ipairs(buckets_of(B, call)) do
    ms = math.max(ms, bucket_wait(bucket, level_of(B, bucket.field), calls, at))
  end
  for _, other in ipairs(LANES) do
    same[other] = resource_of(B, FIRST[other].endpoint) == resource_of(B, call.endpoint)
  end
  return math.max(ms, window_outlook(B, call, calls_until(lane, ahead, waiting, same), at))
end

-- Ms until a job with so many of its lane ahead starts, the longest thing that holds it up (or '') and ms left of it.
local function outlook(inst, lane, ahead)
  local B = load_budget(inst, FIRST_FIELDS)
  local left, why = installation_pause(inst, true)
  local of_lane = tonumber(redis.call('HGET', P .. 'p', 'l:' .. lane) or '0') - now
  if of_lane > left then
    left, why = of_lane, 'admin'
  end
  local starts = left
  if B.on ~= 0 then
    local waiting = {}
    for _, other in ipairs(LANES) do
      waiting[other] = redis.call('ZCARD', key('a', inst, other))
    end
    starts = left + rate_outlook(B, lane, ahead, waiting, now + left)
    local ms, short = window_wait(B, FIRST[lane])
    if short and ms > left then
      left, why = ms, 'budget'
    end
  end
  return math.ceil(math.max(starts, left)), why or '', math.ceil(left)
end

