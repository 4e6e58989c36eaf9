-- Renews leases. A lease whose job is unknown here is put back: only a lost Redis forgets a leased job.
--
-- ARGV: lease ms, then groups of 11, at most 200: job, token, installation, lane, team, rank, accepted ms,
--       half-deadline ms, cost, claims, rescues
-- Result: { job... } of the leases that are somebody else's, or nobody's, by now.
-- Complexity: O(n log N) for n leases among N.
local lease = tonumber(ARGV[1])
local lost = {}
for at = 2, #ARGV, 11 do
  local id, token, inst, lane = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local held = redis.call('HMGET', job_key(id), 'i', 'o')
  if not held[1] then
    redis.call('HSET', job_key(id), 'i', inst, 'l', lane, 't', ARGV[at + 4], 'k', ARGV[at + 5],
      'a', ARGV[at + 6], 'h', ARGV[at + 7], 'c', ARGV[at + 8], 'x', ARGV[at + 10])
    count(inst, 'r:', ARGV[at + 4], 1)
    remember(inst)
    enter_leased(id, inst, lane, token, now + lease, ARGV[at + 9])
  elseif held[2] == token then
    enter_leased(id, inst, lane, token, now + lease, ARGV[at + 9])
  else
    lost[#lost + 1] = id
  end
end
store_counts()
return lost
