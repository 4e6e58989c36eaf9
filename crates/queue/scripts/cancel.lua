-- Removes a job that no worker holds.
--
-- ARGV: job
-- Result: `removed`, `leased` (unchanged) or `unknown`.
-- Complexity: O(log N).
local id = ARGV[1]
local h = redis.call('HMGET', job_key(id), 'i', 'l', 's', 't')
if not h[1] then
  return 'unknown'
end
if h[3] == 'l' then
  return 'leased'
end
leave_ready({ id }, h[1], h[2])
redis.call('ZREM', key('delayed', h[1], h[2]), id)
if redis.call('ZREM', key('aside', h[1], h[2]) .. ':' .. h[4], id) == 1 then
  add_count(h[1], 'a:', h[4], -1)
end
add_count(h[1], 'w:', h[4], -1)
store_counts()
redis.call('DEL', job_key(id))
return 'removed'
