-- Writes the settings of budgets if they differ.
--
-- ARGV: 1 to write only those of installations that have none, then groups of 17, at most 100: installation, the
--   further Apps of its pool (separated by spaces, or empty), the pool whose further App it is (or empty), the settings
--   in the order of SETTINGS
-- Result: 1 if something was written, else 0.
-- Complexity: O(i log n) for i of n installations.
local only_missing, WIDTH, NAMES = ARGV[1] == '1', 3 + #SETTINGS, { 'apps', 'pool', unpack(SETTINGS) }

local function write(inst, from)
  local at = P .. 'budget:' .. inst
  local held, changed, gone, other_limits = redis.call('HMGET', at, unpack(NAMES)), {}, {}, false
  if not only_missing or redis.call('EXISTS', at) == 0 then
    for n, name in ipairs(NAMES) do
      local value = ARGV[from + n]
      if value == '' and held[n] then
        gone[#gone + 1] = name
      elseif value ~= '' and held[n] ~= value then
        changed[#changed + 1] = name
        changed[#changed + 1] = value
        other_limits = other_limits or n > 2
      end
    end
  end
  touch_budget(inst)
  if #gone > 0 then
    redis.call('HDEL', at, unpack(gone))
  end
  if #changed > 0 then
    redis.call('HSET', at, unpack(changed))
  end
  -- The use is stored as time under the old limits, which is meaningless under the new ones.
  for _, field in ipairs(other_limits and redis.call('HKEYS', P .. 'limits:' .. inst) or {}) do
    if field == 'n' or field == 'm' or string.match(field, '^[kq]:') then
      redis.call('HDEL', P .. 'limits:' .. inst, field)
    end
  end
  return #changed + #gone > 0
end

local any = false
for from = 2, #ARGV, WIDTH do
  any = write(ARGV[from], from) or any
end
if any then
  wake_one()
end
return any and 1 or 0
