-- Permits a request that no claim has just paid for, or returns the time to wait. Charges every bucket or none.
--
-- ARGV: installation, endpoint, write (0 or 1), registers (0 or 1), urgent (0 or 1: may use the reserve), its job (or
--   empty), instead (0 or 1: the write that the claim paid for will not be sent, and its payment counts for this one in
--   buckets that all writes share), ms since the claim paid for this request (or empty: it did not)
--   A request without a job is charged to the drift lane, or to the deprovision lane if it is urgent.
-- Result: 0 if it may be sent, otherwise the ms to wait. Pauses by administrators and for suspensions do not stop
--   running jobs.
-- Complexity: O(1).
local inst, job, paid = ARGV[1], ARGV[6], tonumber(ARGV[8])
local call = { endpoint = ARGV[2], write = ARGV[3] == '1', registers = ARGV[4] == '1', urgent = ARGV[5] == '1' }
call.instead = ARGV[7] == '1'
call.lane = call.urgent and 'deprovision' or 'drift'
local held = installation_pause(inst, false)
if held > 0 then
  return held
end
local fields = { 'pw', 'pp', 'pj', 'mr', 'mt', 'w:core', 'u:core', 'x:' .. call.endpoint, 'k:' .. call.endpoint }
local B = load_budget(inst, fields)
B.home = call.registers and B.pool and load_budget(B.pool, { 'n' })
-- The claim chose this job as the probe: it does not wait for itself.
local probe = job ~= '' and get(B, 'pj') == job
if probe then
  put(B, 'pp', false)
end
-- The response to the probe may come at any time, and this caller gets no notification.
if probe_wait(B) > 0 then
  return math.min(probe_wait(B), 1000)
end
local team, weight = '-', 1
if job ~= '' then
  local h = redis.call('HMGET', job_key(job), 'l', 't', 'w')
  call.lane, team, weight = h[1] or call.lane, h[2] or '-', tonumber(h[3] or '1')
end
local ms = paid and 0 or math.max(budget_wait(B, call), math.ceil(team_wait(B, call, team, weight)))
if ms == 0 then
  if paid then
    charge_late(B, call, paid)
  else
    charge_budget(B, call, team, weight)
  end
  record_sent(B, job)
end
if ms == 0 then
  store_budget(B)
  if B.home then
    store_budget(B.home)
  end
elseif probe then
  -- A probe that must wait leaves its place to the next request.
  put(B, 'pj', false)
  store_budget(B)
  wake_one()
end
return ms
