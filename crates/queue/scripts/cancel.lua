-- Takes a job out that nobody runs.
--
-- ARGV: job
-- Result: `removed`, `leased` (left as it is) or `unknown`.
-- Complexity: O(log N).
local id = ARGV[1]
local h = redis.call('HMGET', job_key(id), 'i', 'l', 's')
if not h[1] then
  return 'unknown'
end
if h[3] == 'l' then
  return 'leased'
end
leave_ready(id, h[1], h[2])
redis.call('ZREM', key('d', h[1], h[2]), id)
redis.call('DEL', job_key(id))
return 'removed'
