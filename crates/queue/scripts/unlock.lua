-- Releases a lock if the caller still owns it.
--
-- ARGV: name, token
-- Result: 1, or 0 if it expired or has another owner.
-- Complexity: O(1).
local lock = P .. 'lock:' .. ARGV[1]
if redis.call('GET', lock) ~= ARGV[2] then
  return 0
end
return redis.call('DEL', lock)
