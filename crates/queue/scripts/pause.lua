-- Pauses an installation or a lane, or lifts a pause. A pause is never shortened, only lifted.
--
-- ARGV: scope (`i:<installation>:<reason>` or `l:<lane>`), duration ms (0 lifts), installation that must send a probe
--   after the pause (or empty)
-- Result: ms until the pause of this scope ends.
-- Complexity: O(1).
local scope, duration = ARGV[1], tonumber(ARGV[2])
if duration == 0 then
  redis.call('HDEL', P .. 'pauses', scope)
  wake_one()
  return 0
end
if ARGV[3] ~= '' then
  local B = load_budget(ARGV[3], { 'pw', 'pp' })
  ask_for_probe(B)
  store_budget(B)
end
local until_ms = math.max(tonumber(redis.call('HGET', P .. 'pauses', scope) or '0'), now + duration)
redis.call('HSET', P .. 'pauses', scope, until_ms)
return until_ms - now
