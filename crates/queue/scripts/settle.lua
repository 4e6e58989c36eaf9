-- Ends leases: the job is finished, or waits for its next start with its old rank.
--
-- ARGV: groups of 4, at most 200: job, token, outcome (`finish`, `snooze` or `release`), delay ms
-- Result: { 1 or 0... }, 0 where the lease was not the caller's any more (then nothing changed).
-- Complexity: O(n log N) for n leases among N jobs.
local answers, alarm = {}, false
for at = 1, #ARGV, 4 do
  local id, outcome, delay = ARGV[at], ARGV[at + 2], tonumber(ARGV[at + 3])
  local h = redis.call('HMGET', job_key(id), 'i', 'l', 'k', 'a', 'h', 'o')
  local inst, lane = h[1], h[2]
  if h[6] ~= ARGV[at + 1] then
    answers[#answers + 1] = 0
  else
    redis.call('ZREM', key('l', inst, lane), id)
    if outcome == 'finish' then
      redis.call('DEL', job_key(id))
    elseif delay > 0 then
      alarm = enter_delayed(id, inst, lane, now + delay) or alarm
    else
      enter_ready(id, inst, lane, h[3], h[4], h[5])
      alarm = true
    end
    answers[#answers + 1] = 1
  end
end
if alarm then
  ring()
end
return answers
