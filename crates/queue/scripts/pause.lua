-- Pauses an installation or a lane, or lifts a pause. A pause is never shortened, only lifted.
--
-- ARGV: scope (`i:<installation>:<reason>` or `l:<lane>`), duration ms (0 lifts)
-- Result: ms until the pause of this scope ends.
-- Complexity: O(1).
local scope, duration = ARGV[1], tonumber(ARGV[2])
if duration == 0 then
  redis.call('HDEL', P .. 'p', scope)
  ring()
  return 0
end
local until_ms = math.max(tonumber(redis.call('HGET', P .. 'p', scope) or '0'), now + duration)
redis.call('HSET', P .. 'p', scope, until_ms)
return until_ms - now
