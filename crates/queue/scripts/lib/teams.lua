-- Limit on the running jobs of one team. Included after budget.lua.
--
-- A job whose team runs its maximum is set aside. Otherwise it would stand before the jobs of other teams, and more of
-- them would with each turn. When a job of the team ends, as many jobs return to their old ranks as may start.
local function aside_key(inst, lane, team)
  return key('aside', inst, lane) .. ':' .. team
end

local function set_aside(id, inst, lane, team, rank)
  redis.call('ZREM', key('ready', inst, lane), id)
  redis.call('ZREM', key('overdue', inst, lane), id)
  redis.call('ZADD', aside_key(inst, lane, team), rank, id)
  add_count(inst, 'a:', team, 1)
end

-- Must be called after the counts are stored. Returns whether a job returned. At most 32 jobs of each lane.
local function return_set_aside(inst, team)
  local h = redis.call('HMGET', P .. 'counts:' .. inst, 'a:' .. team, 'r:' .. team)
  if not h[1] then
    return false
  end
  local free = math.min(setting(inst, 'team') - tonumber(h[2] or '0'), 32)
  if free <= 0 then
    return false
  end
  for _, lane in ipairs(LANES) do
    local aside = aside_key(inst, lane, team)
    for _, id in ipairs(redis.call('ZRANGE', aside, 0, free - 1)) do
      redis.call('ZREM', aside, id)
      add_count(inst, 'a:', team, -1)
      local job = redis.call('HMGET', job_key(id), 'k', 'a', 'h')
      if job[1] then
        enter_ready(id, inst, lane, job[1], job[2], job[3])
      end
    end
  end
  store_counts()
  return true
end

-- Counts the running jobs again after a job's hash and thereby its team was lost (an evicting Redis). Returns whether a
-- job that was set aside returned. O(leases).
local function recount(inst)
  local teams = {}
  local fields = redis.call('HKEYS', P .. 'counts:' .. inst)
  for _, field in ipairs(fields) do
    if string.sub(field, 1, 2) == 'r:' or string.sub(field, 1, 2) == 'm:' then
      redis.call('HDEL', P .. 'counts:' .. inst, field)
    elseif string.sub(field, 1, 2) == 'a:' then
      teams[#teams + 1] = string.sub(field, 3)
    end
  end
  for _, lane in ipairs(LANES) do
    for _, id in ipairs(redis.call('ZRANGE', key('leased', inst, lane), 0, -1)) do
      local job = redis.call('HMGET', job_key(id), 't', 'm')
      if job[1] then
        add_count(inst, 'r:', job[1], 1)
      end
      if job[2] then
        add_count(inst, 'm:', job[2], 1)
      end
    end
  end
  store_counts()
  local moved = false
  for _, team in ipairs(teams) do
    moved = return_set_aside(inst, team) or moved
  end
  return moved
end

