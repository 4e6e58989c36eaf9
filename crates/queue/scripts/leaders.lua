-- Records that a scheduler leads, and returns all that said so lately. Two databases that use one namespace are seen here.
--
-- ARGV: name of the scheduler, or '' to read only; time in ms for which an entry counts; longest pause in ms after which
--       a scheduler began to lead anew
-- Result: { { name, ms since it began to lead, ms since it last said so }... }
-- Complexity: O(schedulers).
local leaders = P .. 'leaders'
local flat = redis.call('HGETALL', leaders)
local rows = {}
local began = now
for at = 1, #flat, 2 do
  local name = flat[at]
  local first, last = string.match(flat[at + 1], '^(%d+) (%d+)$')
  first, last = tonumber(first), tonumber(last)
  if not last or last + ARGV[2] <= now then
    redis.call('HDEL', leaders, name)
  elseif name ~= ARGV[1] then
    rows[#rows + 1] = { name, math.max(0, now - first), math.max(0, now - last) }
  elseif last + ARGV[3] > now then
    began = first
  end
end
if ARGV[1] ~= '' then
  redis.call('HSET', leaders, ARGV[1], string.format('%d %d', began, now))
  redis.call('PEXPIRE', leaders, ARGV[2])
  rows[#rows + 1] = { ARGV[1], now - began, 0 }
end
return rows
