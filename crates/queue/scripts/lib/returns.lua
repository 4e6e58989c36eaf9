-- What comes back to its lane by itself. Goes behind teams.lua.

-- Jobs whose hash this version cannot read, as a newer version may write it: no number where one must be. They wait
-- aside, so that a worker of that version may claim them.
local UNREADABLE_PAUSE = 30000
local unreadable = 0
local function put_off(id, inst, lane)
  unreadable = unreadable + 1
  enter_delayed(id, inst, lane, now + UNREADABLE_PAUSE)
end

-- A member whose hash is gone (an evicting Redis) is dropped: the sweep over the truth puts the job back.
local function back_to_ready(id, inst, lane)
  local h = redis.call('HMGET', job_key(id), 'k', 'a', 'h', 't')
  if tonumber(h[1]) and tonumber(h[2]) and tonumber(h[3]) then
    enter_ready(id, inst, lane, h[1], h[2], h[3])
  elseif h[1] then
    put_off(id, inst, lane)
  end
  return h[4]
end

-- Leases that ran out: their holder died or hangs. Back to the old rank, one rescue more. At most
-- 64 in one claim. Returns their number.
local expired_left = 64
local function take_back(inst, lane)
  if expired_left == 0 then
    return 0
  end
  local ids = redis.call('ZRANGEBYSCORE', key('leased', inst, lane), '-inf', now, 'LIMIT', 0, expired_left)
  expired_left = expired_left - #ids
  local teams, lost = {}, false
  for _, id in ipairs(ids) do
    redis.call('ZREM', key('leased', inst, lane), id)
    leave_probe(inst, id)
    local team = back_to_ready(id, inst, lane)
    if team then
      redis.call('HINCRBY', job_key(id), 'x', 1)
      count(inst, 'r:', team, -1)
      count(inst, 'w:', team, 1)
      teams[team] = true
    else
      lost = true
    end
  end
  if #ids > 0 then
    store_counts()
    for team in pairs(teams) do
      come_back(inst, team)
    end
  end
  if lost then
    recount(inst)
  end
  return #ids
end

-- Delayed jobs that fell due, at most 256 in one claim.
local due_left = 256
local function promote(inst, lane)
  if due_left == 0 then
    return
  end
  local ids = redis.call('ZRANGEBYSCORE', key('delayed', inst, lane), '-inf', now, 'LIMIT', 0, due_left)
  due_left = due_left - #ids
  for _, id in ipairs(ids) do
    redis.call('ZREM', key('delayed', inst, lane), id)
    back_to_ready(id, inst, lane)
  end
end

-- Teams that spent all they might for a while may look again, at most 16 in one claim.
local function bring_back(inst)
  local teams = redis.call('ZRANGEBYSCORE', P .. 'capped:' .. inst, '-inf', now, 'LIMIT', 0, 16)
  if #teams > 0 then
    redis.call('ZREM', P .. 'capped:' .. inst, unpack(teams))
    for _, team in ipairs(teams) do
      come_back(inst, team)
    end
  end
  local first = redis.call('ZRANGE', P .. 'capped:' .. inst, 0, 0, 'WITHSCORES')[2]
  if first then
    redis.call('HSET', P .. 'clocks:' .. inst, 'f', first)
  else
    redis.call('HDEL', P .. 'clocks:' .. inst, 'f')
  end
end
