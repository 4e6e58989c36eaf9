-- Ends a request whose response has no rate limit headers.
--
-- ARGV: installation, endpoint, 1 if GitHub may have counted it, 1 if its caller was dropped before a response came
-- Result: 1. The request is no longer in flight. If its caller was dropped and it was a probe without a job, the next
--   request is the probe; for a probe with a job, the end of the job has this effect.
-- Complexity: O(log n) for n installations.
local inst, endpoint, counted, left = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4] == '1'
local B = load_budget(inst, { 'pw', 'pp', 'pj', 'w:core', 'u:core', 'x:' .. endpoint })
local resource = resource_of(B, endpoint)
local free = free_requests(B, resource)
end_request(B, endpoint)
local window = window_of(B, resource)
if window and counted then
  window.reported, window.taken = math.max(window.reported - 1, 0), true
end
if free <= 0 and free_requests(B, resource) > free then
  wake_one()
end
if left and get(B, 'pp') and not get(B, 'pj') then
  put(B, 'pp', false)
  wake_one()
end
store_budget(B)
touch_budget(inst)
return 1
