-- A request is over, and no headers tell of a window.
--
-- ARGV: installation, endpoint, 1 when GitHub may have counted it, 1 when its caller left before an answer came
-- Result: 1. The request it was charged with is not under way any more. One whose caller left and that went ahead as the
--   probe for no job makes room for the next: for the others the end of the job does.
-- Complexity: O(log n) for n installations.
local inst, endpoint, counted, left = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4] == '1'
local B = load_budget(inst, { 'pw', 'pp', 'pj', 'w:core', 'u:core', 'x:' .. endpoint })
local resource = resource_of(B, endpoint)
local room = room_in(B, resource)
answered(B, endpoint)
local window = window_of(B, resource)
if window and counted then
  window.told, window.taken = math.max(window.told - 1, 0), true
end
if room <= 0 and room_in(B, resource) > room then
  wake_one()
end
if left and get(B, 'pp') and not get(B, 'pj') then
  put(B, 'pp', false)
  wake_one()
end
store_budget(B)
heard_of(inst)
return 1
