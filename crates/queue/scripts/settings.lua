-- Writes the settings of one installation's budget if they differ.
--
-- ARGV: installation, 1 to write them only if there are none, then the settings in the order of SETTINGS
-- Result: 1 if something was written, else 0.
-- Complexity: O(log n) for n installations.
local at = P .. 'budget:' .. ARGV[1]
local held, changed = redis.call('HMGET', at, unpack(SETTINGS)), {}
if ARGV[2] ~= '1' or redis.call('EXISTS', at) == 0 then
  for n, name in ipairs(SETTINGS) do
    if held[n] ~= ARGV[2 + n] then
      changed[#changed + 1] = name
      changed[#changed + 1] = ARGV[2 + n]
    end
  end
end
touch_budget(ARGV[1])
if #changed == 0 then
  return 0
end
redis.call('HSET', at, unpack(changed))
-- The use is stored as time under the old limits, which is meaningless under the new ones.
for _, field in ipairs(redis.call('HKEYS', P .. 'limits:' .. ARGV[1])) do
  if field == 'n' or field == 'm' or string.match(field, '^[kq]:') then
    redis.call('HDEL', P .. 'limits:' .. ARGV[1], field)
  end
end
wake_one()
return 1
