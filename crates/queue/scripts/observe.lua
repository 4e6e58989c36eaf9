-- Records the primary window that a response reports.
--
-- ARGV: installation, endpoint (or empty), resource, limit, remaining, ms until reset, reset as reported (s)
-- Result: 1. Of the newest window the smallest remaining number counts, minus requests in flight. A window that is over
--   is ignored.
--   Responses may arrive late, so windows are identified by GitHub's own clock. They end by ours, at the earliest time
--   reported. A window of less than half the known limit belongs to another credential (an address without a token,
--   say) and is ignored while the known one lasts. A response from an endpoint ends the request charged to it.
-- Complexity: O(log n) for n installations.
local inst, endpoint, resource = ARGV[1], ARGV[2], ARGV[3]
local limit, left, reset, mark = tonumber(ARGV[4]), tonumber(ARGV[5]), now + tonumber(ARGV[6]), tonumber(ARGV[7])
local SAME = 2 -- s; GitHub's servers report resets that differ by this much
local FOREIGN = 2 -- a limit smaller or larger by this factor belongs to another credential
local B = load_budget(inst, { 'pw', 'pp', 'bo', 'w:' .. resource, 'u:' .. resource, 'x:' .. endpoint })
local known = get(B, 'w:' .. resource) or redis.call('HLEN', P .. 'limits:' .. inst) < 256
local free = free_requests(B, resource)
if endpoint ~= '' then
  end_request(B, endpoint)
end

local function begin_window()
  B.windows[resource] = {
    limit = limit, reported = left, reset = reset, mark = mark, base = left, since = now, taken = true,
  }
end

local function apply_observation(window)
  if not window or limit > window.limit * FOREIGN then
    begin_window()
  elseif limit * FOREIGN < window.limit then
    -- The request may have been counted in our window nevertheless.
    window.reported, window.taken = math.max(window.reported - 1, 0), true
    return
  elseif math.abs(window.mark - mark) <= SAME then
    window.reported, window.reset = math.min(window.reported, left), math.min(window.reset, reset)
    window.limit, window.taken = limit, true
  elseif mark > window.mark then
    begin_window()
  end
  if endpoint ~= '' and get(B, 'x:' .. endpoint) ~= resource then
    put(B, 'x:' .. endpoint, resource)
  end
end

if known and reset > now then
  apply_observation(window_of(B, resource))
end
if get(B, 'ul') then
  put(B, 'ul', false)
end
if free <= 0 and free_requests(B, resource) > free then
  wake_one()
end
-- Only an outcome closes an open breaker: 5xx responses have these headers too.
if not get(B, 'bo') then
  end_probe(B)
end
store_budget(B)
touch_budget(inst)
return 1
