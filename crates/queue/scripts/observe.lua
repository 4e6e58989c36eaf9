-- What an answer says of the primary window.
--
-- ARGV: installation, endpoint (or empty), resource, limit, remaining, ms until reset, reset as told (s)
-- Result: 1. The smallest remaining of the newest window wins, less what is under way; a window that is over says nothing.
--   News may come late, so windows are told apart by GitHub's own clock; they end by ours, as the earliest news of each
--   has it. A window of less than half the known limit is another's (of an address without a token, say) and says nothing
--   while the known one lasts. An answer from an endpoint ends the request it was charged with.
-- Complexity: O(log n) for n installations.
local inst, endpoint, resource = ARGV[1], ARGV[2], ARGV[3]
local limit, left, reset, mark = tonumber(ARGV[4]), tonumber(ARGV[5]), now + tonumber(ARGV[6]), tonumber(ARGV[7])
local SAME = 2 -- seconds; GitHub's machines do not agree on one
local FOREIGN = 2 -- times less or more is the limit of somebody else
local B = load_budget(inst, { 'pw', 'pp', 'bo', 'w:' .. resource, 'u:' .. resource, 'x:' .. endpoint })
local known = get(B, 'w:' .. resource) or redis.call('HLEN', P .. 'limits:' .. inst) < 256
local room = room_in(B, resource)
if endpoint ~= '' then
  answered(B, endpoint)
end

local function begin_window()
  B.windows[resource] = { limit = limit, told = left, reset = reset, mark = mark, base = left, since = now, taken = true }
end

local function learn(window)
  if not window or limit > window.limit * FOREIGN then
    begin_window()
  elseif limit * FOREIGN < window.limit then
    -- The request may have been counted in ours nevertheless.
    window.told, window.taken = math.max(window.told - 1, 0), true
    return
  elseif math.abs(window.mark - mark) <= SAME then
    window.told, window.reset = math.min(window.told, left), math.min(window.reset, reset)
    window.limit, window.taken = limit, true
  elseif mark > window.mark then
    begin_window()
  end
  if endpoint ~= '' and get(B, 'x:' .. endpoint) ~= resource then
    put(B, 'x:' .. endpoint, resource)
  end
end

if known and reset > now then
  learn(window_of(B, resource))
end
if get(B, 'ul') then
  put(B, 'ul', false)
end
if room <= 0 and room_in(B, resource) > room then
  wake_one()
end
-- An open breaker is closed by the outcome alone: 5xx answers have these headers too.
if not get(B, 'bo') then
  end_probe(B)
end
store_budget(B)
heard_of(inst)
return 1
