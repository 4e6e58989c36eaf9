-- Enqueues jobs. A job that is waiting, delayed or leased already stays unchanged, unless it is urgent now: then it
-- goes ahead of its lane like a new urgent job.
--
-- ARGV: groups of 10, at most 200: job, installation, lane, team, weight, cost, age ms, ms until half of the deadline
--       (negative when past), ms until it may start, urgent (0 or 1)
--       Durations only: the caller's clock may differ from the clock of Redis.
-- Result: number of new jobs.
-- Complexity: O(n log N) for n jobs into N waiting.

-- Rank by start-time fair queueing: a team's next job starts where its last one ends, but never before the lane's
-- clock, so idle time earns no credit. An urgent job gets the clock as its rank and costs its team nothing.
local function rank_of(inst, lane, team, price, urgent)
  local clock = tonumber(redis.call('HGET', P .. 'clocks:' .. inst, 'k:' .. lane) or '0')
  if urgent then
    return clock
  end
  local last = tonumber(redis.call('ZSCORE', key('teams', inst, lane), team) or '0')
  local rank = math.max(clock, last) + price
  redis.call('ZADD', key('teams', inst, lane), rank, team)
  return rank
end

-- Gives a job the rank of an urgent one, wherever it is. Its team has paid for the old rank.
local function make_urgent(id)
  local h = redis.call('HMGET', job_key(id), 'i', 'l', 't', 'k')
  local rank = rank_of(h[1], h[2], h[3], 0, true)
  if rank < tonumber(h[4]) then
    redis.call('HSET', job_key(id), 'k', rank)
    redis.call('ZADD', key('ready', h[1], h[2]), 'XX', rank, id)
    redis.call('ZADD', key('aside', h[1], h[2]) .. ':' .. h[3], 'XX', rank, id)
  end
end

local placed, alarm = 0, false
for at = 1, #ARGV, 10 do
  local id, inst, lane, team = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local weight, cost = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local accepted, half = now - tonumber(ARGV[at + 6]), now + tonumber(ARGV[at + 7])
  local due = now + tonumber(ARGV[at + 8])
  if redis.call('EXISTS', job_key(id)) == 0 then
    local rank = rank_of(inst, lane, team, cost / weight, ARGV[at + 9] == '1')
    redis.call('HSET', job_key(id), 'i', inst, 'l', lane, 't', team, 'k', rank, 'a', accepted,
      'h', half, 'c', cost, 'n', 0, 'x', 0)
    if weight ~= 1 then
      redis.call('HSET', job_key(id), 'w', weight)
    end
    add_installation(inst)
    if due > now then
      alarm = enter_delayed(id, inst, lane, due) or alarm
    else
      enter_ready(id, inst, lane, rank, accepted, half)
      alarm = true
    end
    add_count(inst, 'w:', team, 1)
    placed = placed + 1
  elseif ARGV[at + 9] == '1' then
    make_urgent(id)
  end
end
store_counts()
if alarm then
  wake_one()
end
return placed
