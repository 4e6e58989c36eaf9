-- Writes the settings of budgets if they differ, and announces the further Apps of pools.
--
-- ARGV: 1 to write only those of installations that have none, then groups of 17, at most 100: installation, the
--   further Apps of its pool (separated by spaces, or empty), the pool whose further App it is (or empty), the settings
--   in the order of SETTINGS
-- Result: 1 if something was written, else 0.
-- Complexity: O(i (log n + a)) for i of n installations with a Apps.
local only_missing, WIDTH, NAMES = ARGV[1] == '1', 3 + #SETTINGS, { 'apps', 'pool', unpack(SETTINGS) }
local MAX_FURTHER = 15
-- A process may know fewer Apps of a pool than others do, while settings are rolled out. So an App stays in its pool
-- until no process has announced it for this many ms, which is longer than the pause between two announcements.
local ANNOUNCED = 15 * 60000

local function is_announced(app, inst)
  local held = redis.call('HMGET', P .. 'budget:' .. app, 'pool', 'at')
  return held[1] == inst and (tonumber(held[2]) or 0) > now - ANNOUNCED
end

-- The further Apps of a pool: those that are held already, in their order, then the other ones that are given.
local function further_apps(inst, given, held)
  local apps, is_given, is_taken = {}, {}, {}
  for app in string.gmatch(given, '%S+') do
    is_given[app] = true
  end
  for app in string.gmatch(held .. ' ' .. given, '%S+') do
    if not is_taken[app] and #apps < MAX_FURTHER and (is_given[app] or is_announced(app, inst)) then
      is_taken[app] = true
      apps[#apps + 1] = app
    end
  end
  return table.concat(apps, ' ')
end

local function write(inst, from)
  local at = P .. 'budget:' .. inst
  local held, changed, gone, other_limits = redis.call('HMGET', at, unpack(NAMES)), {}, {}, false
  local keep = only_missing and redis.call('EXISTS', at) == 1
  local pool = keep and (held[2] or '') or ARGV[from + 2]
  for n, name in ipairs(NAMES) do
    local value = keep and (held[n] or '') or ARGV[from + n]
    if n == 1 then
      value = pool == '' and further_apps(inst, ARGV[from + 1], held[1] or '') or ''
    end
    if value == '' and held[n] then
      gone[#gone + 1] = name
    elseif value ~= '' and held[n] ~= value then
      changed[#changed + 1] = name
      changed[#changed + 1] = value
      other_limits = other_limits or n > 2
    end
  end
  touch_budget(inst)
  if #gone > 0 then
    redis.call('HDEL', at, unpack(gone))
  end
  if #changed > 0 then
    redis.call('HSET', at, unpack(changed))
  end
  if pool ~= '' and pool == ARGV[from + 2] then
    redis.call('HSET', at, 'at', now)
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
