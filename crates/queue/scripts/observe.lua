-- What an answer's headers say of the primary window.
--
-- ARGV: installation, endpoint (or empty), resource, limit, remaining, ms until reset, reset as told (s)
-- Result: 1. The smallest remaining of the newest window wins, less what is under way; a window that is over says nothing.
--   News may come late, so windows are told apart by GitHub's own clock; they end by ours, as the earliest news of each
--   has it. An answer from an endpoint ends the request it was charged with.
-- Complexity: O(log n) for n installations.
local inst, endpoint, resource = ARGV[1], ARGV[2], ARGV[3]
local limit, left, reset, mark = tonumber(ARGV[4]), tonumber(ARGV[5]), now + tonumber(ARGV[6]), tonumber(ARGV[7])
local SAME = 2 -- seconds; GitHub's machines do not agree on one
local B = load_budget(inst, { 'pw', 'pp', 'bo', 'w:' .. resource, 'u:' .. resource, 'x:' .. endpoint })
local known = get(B, 'w:' .. resource) or redis.call('HLEN', P .. 'g:' .. inst) < 256
local room = room_in(B, resource)
if endpoint ~= '' then
  answered(B, endpoint)
end
if known and reset > now then
  local window = window_of(B, resource)
  if window and math.abs(window.mark - mark) <= SAME then
    window.told, window.reset = math.min(window.told, left), math.min(window.reset, reset)
    window.limit, window.taken = limit, true
  elseif not window or mark > window.mark then
    B.windows[resource] = { limit = limit, told = left, reset = reset, mark = mark, taken = true }
  end
  if endpoint ~= '' and get(B, 'x:' .. endpoint) ~= resource then
    put(B, 'x:' .. endpoint, resource)
  end
end
if room <= 0 and room_in(B, resource) > room then
  ring()
end
-- An open breaker is closed by the outcome alone: 5xx answers have these headers too.
if not get(B, 'bo') then
  end_probe(B)
end
store_budget(B)
heard_of(inst)
return 1
