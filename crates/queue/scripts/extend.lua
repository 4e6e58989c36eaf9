-- Renews leases. A lease whose job is unknown here is put back: only a lost Redis forgets a leased job.
--
-- ARGV: lease ms, then groups of 10, at most 200: job, token, installation, lane, rank, accepted ms,
--       half-deadline ms, cost, claims, rescues
-- Result: { job... } of the leases that are somebody else's, or nobody's, by now.
-- Complexity: O(n log N) for n leases among N.
local lease = tonumber(ARGV[1])
local lost = {}
for at = 2, #ARGV, 10 do
  local id, token, inst, lane = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local held = redis.call('HMGET', job_key(id), 'i', 'o')
  if not held[1] then
    redis.call('HSET', job_key(id), 'i', inst, 'l', lane, 't', '-', 'k', ARGV[at + 4], 'a', ARGV[at + 5],
      'h', ARGV[at + 6], 'c', ARGV[at + 7], 'n', ARGV[at + 8], 'x', ARGV[at + 9])
    remember(inst)
    enter_leased(id, inst, lane, token, now + lease)
  elseif held[2] == token then
    enter_leased(id, inst, lane, token, now + lease)
  else
    lost[#lost + 1] = id
  end
end
return lost
