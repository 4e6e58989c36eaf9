-- Jobs that return to their lane by themselves. Included after teams.lua.

-- Jobs whose hash this version cannot read (a number is missing), because a newer version wrote it. They are delayed,
-- so that a worker of that version may claim them.
local UNREADABLE_PAUSE = 30000
local unreadable = 0
local function delay_unreadable(id, inst, lane)
  unreadable = unreadable + 1
  enter_delayed(id, inst, lane, now + UNREADABLE_PAUSE)
end

-- A member whose hash is gone (an evicting Redis) is dropped; the scheduler enqueues the job again from PostgreSQL.
-- Returns its team, and the further App that paid for its lease.
local function back_to_ready(id, inst, lane)
  local h = redis.call('HMGET', job_key(id), 'k', 'a', 'h', 't', 'm')
  if tonumber(h[1]) and tonumber(h[2]) and tonumber(h[3]) then
    enter_ready(id, inst, lane, h[1], h[2], h[3])
  elseif h[1] then
    delay_unreadable(id, inst, lane)
  end
  return h[4], h[5]
end

-- Expired leases: their holder died or hangs. The jobs return to their old rank with one more rescue. At most 64 in one
-- claim. Returns their number.
local expired_left = 64
local function return_expired(inst, lane)
  if expired_left == 0 then
    return 0
  end
  local ids = redis.call('ZRANGEBYSCORE', key('leased', inst, lane), '-inf', now, 'LIMIT', 0, expired_left)
  expired_left = expired_left - #ids
  local teams, lost = {}, false
  for _, id in ipairs(ids) do
    redis.call('ZREM', key('leased', inst, lane), id)
    local team, app = back_to_ready(id, inst, lane)
    leave_probe(app or inst, id)
    if app then
      redis.call('HDEL', job_key(id), 'm')
      add_count(inst, 'm:', app, -1)
    end
    if team then
      redis.call('HINCRBY', job_key(id), 'x', 1)
      add_count(inst, 'r:', team, -1)
      add_count(inst, 'w:', team, 1)
      teams[team] = true
    else
      lost = true
    end
  end
  if #ids > 0 then
    store_counts()
    for team in pairs(teams) do
      return_set_aside(inst, team)
    end
  end
  if lost then
    recount(inst)
  end
  return #ids
end

-- Delayed jobs that became due, at most 256 in one claim.
local due_left = 256
local function return_due(inst, lane)
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

-- Longest time until a team returns. A later return was stored before Redis's clock stepped back, and is due.
local LONGEST_RETURN = MAX_WAIT + STEP

-- Teams whose wait for the primary window is over, at most 16 in one claim.
local function return_capped(inst)
  local teams = redis.call('ZRANGEBYSCORE', P .. 'capped:' .. inst, '-inf', now, 'LIMIT', 0, 16)
  if #teams == 0 then
    local late = string.format('(%d', now + LONGEST_RETURN)
    teams = redis.call('ZRANGEBYSCORE', P .. 'capped:' .. inst, late, '+inf', 'LIMIT', 0, 16)
  end
  if #teams > 0 then
    redis.call('ZREM', P .. 'capped:' .. inst, unpack(teams))
    for _, team in ipairs(teams) do
      return_set_aside(inst, team)
    end
  end
  local first = redis.call('ZRANGE', P .. 'capped:' .. inst, 0, 0, 'WITHSCORES')[2]
  if first then
    redis.call('HSET', P .. 'clocks:' .. inst, 'f', first)
  else
    redis.call('HDEL', P .. 'clocks:' .. inst, 'f')
  end
end
