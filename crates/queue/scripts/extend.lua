-- Renews leases. A lease whose job is unknown is restored: a leased job is unknown only after a loss of Redis.
--
-- ARGV: lease ms, then groups of 12, at most 200: job, token, installation, lane, team, rank, accepted ms,
--       half-deadline ms, cost, claims, rescues, further App of the pool that pays for it (or empty)
-- Result: { job... } of the leases that the caller no longer owns.
-- Complexity: O(n log N) for n leases among N.
local lease = tonumber(ARGV[1])
local lost = {}
for at = 2, #ARGV, 12 do
  local id, token, inst, lane = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local held = redis.call('HMGET', job_key(id), 'i', 'o')
  if not held[1] then
    redis.call('HSET', job_key(id), 'i', inst, 'l', lane, 't', ARGV[at + 4], 'k', ARGV[at + 5],
      'a', ARGV[at + 6], 'h', ARGV[at + 7], 'c', ARGV[at + 8], 'x', ARGV[at + 10])
    add_count(inst, 'r:', ARGV[at + 4], 1)
    if ARGV[at + 11] ~= '' then
      redis.call('HSET', job_key(id), 'm', ARGV[at + 11])
      add_count(inst, 'm:', ARGV[at + 11], 1)
    end
    add_installation(inst)
    enter_leased(id, inst, lane, token, now + lease, ARGV[at + 9])
  elseif held[2] == token then
    enter_leased(id, inst, lane, token, now + lease, ARGV[at + 9])
  else
    lost[#lost + 1] = id
  end
end
store_counts()
return lost
