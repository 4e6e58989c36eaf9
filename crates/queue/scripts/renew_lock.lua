-- Keeps a lock for longer if it is still the caller's.
--
-- ARGV: name, token, time from now in ms
-- Result: 1, or 0 when it ran out or is somebody else's.
-- Complexity: O(1).
local lock = P .. 'lock:' .. ARGV[1]
if redis.call('GET', lock) ~= ARGV[2] then
  return 0
end
return redis.call('PEXPIRE', lock, ARGV[3])
