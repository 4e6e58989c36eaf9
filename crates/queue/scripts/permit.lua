-- May a running job make one more request? Takes from every bucket or from none.
--
-- ARGV: installation, endpoint, write (0 or 1), registers (0 or 1), urgent (0 or 1: may use the reserve), first (0 or
--   1: the job has sent nothing since it was claimed), instead (0 or 1: the write the claim has paid for will not be
--   made; it pays for this one where all writes share)
-- Result: 0 go, else the ms to wait. A person's pause holds up no job that runs.
-- Complexity: O(1).
local inst = ARGV[1]
local call = { endpoint = ARGV[2], write = ARGV[3] == '1', registers = ARGV[4] == '1', urgent = ARGV[5] == '1' }
call.instead = ARGV[7] == '1'
local held = installation_pause(inst, false)
if held > 0 then
  return held
end
local fields = { 'pw', 'pp', 'mr', 'mt', 'w:core', 'u:core', 'x:' .. call.endpoint, 'k:' .. call.endpoint }
local B = load_budget(inst, fields)
local first = ARGV[6] == '1'
if first and get(B, 'pp') then
  -- The claim sent this very job ahead as the probe, whose first request is not the one that was paid for.
  put(B, 'pp', false)
end
-- The probe's answer may come at any time, and nobody tells this caller.
if probe_wait(B) > 0 then
  return math.min(probe_wait(B), 1000)
end
local ms = budget_wait(B, call)
if ms == 0 then
  charge_budget(B, call)
end
if ms == 0 or first then
  -- A probe that may not go leaves its place to the next.
  store_budget(B)
end
return ms
