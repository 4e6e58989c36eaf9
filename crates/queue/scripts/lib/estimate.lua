-- Estimated start of a job. Included after budget.lua.
--
-- The estimate is the time until buckets, primary window and pauses allow the job, if every lane uses its share. It
-- grows with the backlog and is never below the pause. It ignores concurrency, because the duration of jobs is not
-- known.
local SHARES = {}

-- Number of calls up to the job's own, if only these lanes use the same bucket.
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

-- Ms from `at` until at most `spare` of the `kept` requests are still reserved for others.
local function borrowing_outlook(window, kept, spare, at)
  if kept <= spare then
    return 0
  end
  -- The reserved part falls evenly to zero.
  local ends = window.since + (window.reset - window.since) * LENDING
  return math.max((ends - at) * (1 - math.max(spare, 0) / kept), 0)
end

-- Ms until the account of the team allows the lane's next job. A team's further jobs wait longer; other teams' jobs use
-- other accounts.
local function team_outlook(B, lane, team, weight)
  local call = FIRST[lane]
  local ms, window, free, kept = team_wait(B, call, team, weight)
  if ms == 0 then
    return 0
  end
  kept = kept + kept_for_lanes(B, window, resource_of(B, call.endpoint), lane, now)
  return math.max(ms, borrowing_outlook(window, kept, free - 1, now))
end

-- Ms from `at` until the window allows this number of calls.
local function window_outlook(B, call, calls, at)
  local resource = resource_of(B, call.endpoint)
  local window = window_of(B, resource)
  if not window then
    return 0
  end
  local kept, wait = reserve_of(B, window, call), 0
  local left = math.max(left_of(B, window, resource) - kept, 0)
  local over = calls - left
  if over <= 0 and window.reset > at then
    return borrowing_outlook(window, kept_for_lanes(B, window, resource, call.lane, at), left - calls, at)
  elseif over > 0 and window.reset > at then
    wait = window.reset - at
  elseif window.reset <= at then
    over = calls
  end
  local each = math.max(window.limit - kept, 1)
  return wait + math.max(math.ceil(over / each) - 1, 0) * HOUR
end

local function lanes_where(fits)
  local lanes = {}
  for _, lane in ipairs(LANES) do
    lanes[lane] = fits(FIRST[lane])
  end
  return lanes
end

local function rate_outlook(B, lane, ahead, waiting, at)
  local call, ms = FIRST[lane], 0
  local function calls_where(fits)
    return calls_until(lane, ahead, waiting, lanes_where(fits))
  end
  local same = calls_where(function(other)
    return other.endpoint == call.endpoint
  end)
  local writes = calls_where(function(other)
    return other.write
  end)
  for _, bucket in ipairs(buckets_of(B, call)) do
    local calls = bucket.field == 'm' and writes or same
    ms = math.max(ms, bucket_wait(bucket, level_of(B, bucket.field), calls, at))
  end
  local sharing = calls_where(function(other)
    return resource_of(B, other.endpoint) == resource_of(B, call.endpoint)
  end)
  return math.max(ms, window_outlook(B, call, sharing, at))
end

-- Reason why the budget keeps the lane's next job from starting (nil for none), and the ms left.
local function shortage(B, lane)
  local ms = budget_wait(B, FIRST[lane])
  if ms == 0 then
    return nil, 0
  end
  return probe_wait(B) > 0 and get(B, 'bo') and 'github_outage' or 'budget', ms
end

-- Estimate of `outlook` for one App, which runs one of so many `parts` of the jobs. `held` is the ms left of the pause
-- of the lane or of the whole pool.
local function app_outlook(B, job, held, parts)
  local left, why = installation_pause(B.inst, true)
  if held > left then
    left, why = held, 'admin'
  end
  local starts = left
  if B.on ~= 0 then
    local waiting = {}
    for _, other in ipairs(LANES) do
      waiting[other] = math.ceil(redis.call('ZCARD', key('accepted', job.inst, other)) / parts)
    end
    starts = left + rate_outlook(B, job.lane, math.floor(job.ahead / parts), waiting, now + left)
    local ms, short = window_wait(B, FIRST[job.lane])
    ms = math.max(short and ms or 0, team_outlook(B, job.lane, job.team, job.weight))
    if ms > left then
      left, why = ms, 'budget'
    end
  end
  if not why then
    -- Responses to requests in flight may end this wait sooner, so it never exceeds the wait that the rates cause.
    local ms
    why, ms = shortage(B, job.lane)
    left = math.min(ms, starts)
  end
  return math.ceil(math.max(starts, left)), why or '', math.ceil(left)
end

-- Ms until a team's job with this many jobs ahead starts, the reason of its longest wait (or ''), and the ms left of
-- that. In a pool, the App that is ready first decides, and all Apps without a pause share the jobs.
local function outlook(inst, lane, ahead, team, weight)
  local apps, parts = load_apps(load_budget(inst, FIRST_FIELDS), FIRST_FIELDS), 0
  for _, app in ipairs(apps) do
    parts = parts + (installation_pause(app.inst, true) == 0 and 1 or 0)
  end
  local held = redis.call('HMGET', P .. 'pauses', 'l:' .. lane, 'i:' .. inst .. ':admin')
  held = math.max(tonumber(held[1] or '0'), tonumber(held[2] or '0')) - now
  local job, starts, why, left = { inst = inst, lane = lane, ahead = ahead, team = team, weight = weight }, nil, nil, nil
  for _, app in ipairs(apps) do
    local from, reason, ms = app_outlook(app, job, held, math.max(parts, 1))
    if not starts or from < starts then
      starts, why, left = from, reason, ms
    end
  end
  return starts, why, left
end
