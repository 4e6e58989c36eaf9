-- Where one job stands.
--
-- ARGV: job
-- Result: {} when unknown, else { installation, lane, place (`r`, `d` or `l`), number }; the number is how many
--   ready jobs of its lane go before it, or the ms until it is due, or 0.
-- Complexity: O(log N).
local id = ARGV[1]
local h = redis.call('HMGET', job_key(id), 'i', 'l', 's')
if not h[1] then
  return {}
end
local number = 0
if h[3] == 'r' then
  number = redis.call('ZRANK', key('r', h[1], h[2]), id)
elseif h[3] == 'd' then
  number = math.max(tonumber(redis.call('ZSCORE', key('d', h[1], h[2]), id)) - now, 0)
end
return { h[1], h[2], h[3], number }
