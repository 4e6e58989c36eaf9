-- Account of a primary window: the requests each lane and team used, and the rest reserved for the others. Included
-- after window.lua.
--
-- The part of a window that remained when it was first seen, minus the reserve, is divided among the lanes by their
-- shares. Each lane's part is divided among the teams by their weights. The unused part of a lane or of the other teams
-- is reserved for them, in proportion to the time left at most. Idle parts may therefore be borrowed as the window
-- passes, and entirely near its end. A lane or team that arrives late still finds requests, and a single user can use
-- the whole window.
--
--   spent:<inst>:<resource>  HASH  k the window (when it was first seen, ms), l:<lane> used, t:<lane>:<team> used,
--                                  w:<team> weight, W sum of the weights, O that sum in the window before
local LANE_SHARES = { provision = 60, deprovision = 25, drift = 15 }
local ALL_SHARES = 100
local LENDING = 0.9 -- the part of a window's time after which nothing is reserved
local NEWCOMER = 1 / 3 -- the weight of a team that may arrive
local WORTH_KEEPING = 3 -- requests; fewer are not reserved
local MIN_WAIT, MAX_WAIT = 50, 5000 -- ms; bounds of the wait for borrowed requests

local function account_of(B, resource, window, lane, team)
  local account = B.accounts[resource]
  if not account then
    local at = P .. 'spent:' .. B.inst .. ':' .. resource
    local name = (lane or '') .. ':' .. (team or '')
    local h = redis.call('HMGET', at, 'k', 'W', 'O', 'l:provision', 'l:deprovision', 'l:drift', 't:' .. name,
      'w:' .. (team or ''))
    local is_new = tonumber(h[1] or '-1') ~= window.since
    account = { key = at, is_new = is_new, spent = {}, teams = {}, set = {}, life = window.reset + HOUR - now }
    account.weights = is_new and 0 or tonumber(h[2] or '0')
    account.before = tonumber(is_new and h[2] or h[3] or '0') or 0
    for n, lane in ipairs(LANES) do
      account.spent[lane] = is_new and 0 or tonumber(h[3 + n] or '0')
    end
    if is_new then
      account.set = { k = window.since, W = 0, O = account.before }
    end
    if team then
      account.teams[name] = { spent = is_new and 0 or tonumber(h[7] or '0'), known = not is_new and h[8] }
    end
    B.accounts[resource] = account
  end
  return account
end

-- Requests a team used in a lane, and whether it used any in the window.
local function team_of(account, lane, team)
  local name = lane .. ':' .. team
  local of = account.teams[name]
  if not of then
    local h = account.is_new and {} or redis.call('HMGET', account.key, 't:' .. name, 'w:' .. team)
    of = { spent = tonumber(h[1] or '0'), known = h[2] or account.set['w:' .. team] }
    account.teams[name] = of
  end
  return of
end

-- Part of the window that the lane may use before it borrows.
local function lane_part(B, window, lane)
  local kept = math.ceil(window.limit * B.reserve / 100)
  return math.max(window.base - kept, 0) * LANE_SHARES[lane] / ALL_SHARES
end

-- Returns 1 at the window's beginning and 0 when nothing is reserved any more.
local function time_left(window, at)
  return math.max(1 - (at - window.since) / ((window.reset - window.since) * LENDING), 0)
end

local function still_kept(part, spent, share_of_time)
  local kept = math.floor(math.min(part - spent, part * share_of_time))
  return kept >= WORTH_KEEPING and kept or 0
end

-- Whether the lane's requests use this window. Requests of every kind use `core`.
local function lane_uses(B, lane, resource)
  return resource == 'core' or resource_of(B, FIRST[lane].endpoint) == resource
end

local function kept_for_lanes(B, window, resource, lane, at)
  local account, kept = account_of(B, resource, window), 0
  for _, other in ipairs(LANES) do
    if other ~= lane and lane_uses(B, other, resource) then
      kept = kept + still_kept(lane_part(B, window, other), account.spent[other], time_left(window, at))
    end
  end
  return kept
end

-- Part of a lane that belongs to the other teams, including one that may arrive.
local function others_part(account, of, weight)
  local all = math.max(account.weights + (of.known and 0 or weight), account.before) + NEWCOMER
  return 1 - weight / all
end

local function kept_for_teams(B, window, resource, lane, team, weight)
  local account = account_of(B, resource, window, lane, team)
  local of = team_of(account, lane, team)
  local part = lane_part(B, window, lane) * others_part(account, of, weight)
  return still_kept(part, account.spent[lane] - of.spent, time_left(window, now))
end

-- Estimated ms until this number of further requests may be borrowed.
local function lending_wait(window, short)
  local each = (window.reset - window.since) * LENDING / math.max(window.base, 1)
  return math.min(math.max(short * each, MIN_WAIT), MAX_WAIT, window.reset - now)
end

-- Ms until the team's account allows one more request, if its lane may send. Jobs without a team have no account. While
-- the account is empty, further results are the window, its free requests, and those reserved for other teams.
local function team_wait(B, call, team, weight)
  local resource = resource_of(B, call.endpoint)
  local window = B.on ~= 0 and team ~= '-' and window_of(B, resource)
  if not window then
    return 0
  end
  local free = left_of(B, window, resource) - reserve_of(B, window, call)
  -- The reservation is at most proportional to the time left. The account need not be read while less was used.
  if free - window.base * time_left(window, now) > 0 then
    return 0
  end
  local kept = kept_for_teams(B, window, resource, call.lane, team, weight)
  if kept == 0 or free - kept > 0 and free - kept - kept_for_lanes(B, window, resource, call.lane, now) > 0 then
    return 0
  end
  return lending_wait(window, 1), window, free, kept
end

-- Ms until the primary window can serve the call's lane. Second result: true if a known window cannot.
local function window_wait(B, call)
  local resource = resource_of(B, call.endpoint)
  local window, flight, number = window_of(B, resource), requests_in_flight(B, resource)
  local answers = flight.last + UNANSWERED - now
  if not window then
    return number < BURST and 0 or answers, false
  end
  local kept = reserve_of(B, window, call)
  if window.reported <= kept then
    return window.reset - now, true
  end
  local left = left_of(B, window, resource)
  if left <= kept then
    return math.min(answers, window.reset - now), true
  end
  -- The accounts need not be read while enough is left for the parts of all others.
  local short = 1 + kept + window.base - lane_part(B, window, call.lane) - left
  short = short > 0 and 1 + kept + kept_for_lanes(B, window, resource, call.lane, now) - left or 0
  if short > 0 then
    return lending_wait(window, short), true
  end
  return 0, false
end

-- Adds a request to the accounts of its lane and team, or subtracts it.
local function enter_account(B, call, team, weight, by)
  local resource = resource_of(B, call.endpoint)
  local window = window_of(B, resource)
  if not window then
    return
  end
  local account = account_of(B, resource, window)
  local of = team_of(account, call.lane, team)
  if by < 0 and of.spent == 0 then
    return
  end
  of.spent, account.spent[call.lane] = of.spent + by, account.spent[call.lane] + by
  account.set['t:' .. call.lane .. ':' .. team] = of.spent
  account.set['l:' .. call.lane] = account.spent[call.lane]
  if not of.known and not account.set['w:' .. team] then
    account.weights = account.weights + weight
    account.set['w:' .. team], account.set.W = weight, account.weights
  end
  of.known, account.taken = true, true
end

local function charge_window(B, call, team, weight)
  local flight = requests_in_flight(B, resource_of(B, call.endpoint))
  flight.count, flight.last, flight.taken = flight.count + 1, now, true
  enter_account(B, call, team, weight, 1)
end
