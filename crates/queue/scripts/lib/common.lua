-- Shared beginning of every script: the clock, the keys and the moves of one job.
--
-- KEYS[1] is the prefix `{namespace}:`; its hash tag puts every key of a namespace into one cluster slot.
--   installations                ZSET  installations with jobs, by the turn in which they were last served
--   turn                         INT   number of the last turn
--   pauses                       HASH  pauses: `i:<installation>:<reason>` or `l:<lane>` -> end, ms
--   wakeup                       LIST  wake-up: at most one token, popped by one waiting worker
--   epoch                        TEXT  set once all jobs were enqueued; missing after a loss of data
--   claim:<claimer>              TEXT  last claim of a worker, so that repeating it returns the same jobs
--   job:<job>                    HASH  i installation, l lane, t team, k rank, a accepted ms, h half-deadline ms, c
--                                      cost, n claims, x leases that expired since the last snooze, s place (r, d or
--                                      l), o lease token (place l), w weight of the team (missing: 1), m further App
--                                      of the pool that pays for it (place l; missing: the pool's first)
--   ready:<inst>:<lane>          ZSET  ready jobs by rank
--   accepted:<inst>:<lane>       ZSET  ready jobs and jobs set aside, by accepted ms (oldest age)
--   overdue:<inst>:<lane>        ZSET  ready jobs by half-deadline ms (overdue once it has passed)
--   delayed:<inst>:<lane>        ZSET  delayed jobs by due ms
--   leased:<inst>:<lane>         ZSET  leased jobs by expiry ms
--   teams:<inst>:<lane>          ZSET  teams by their last rank; entries at or below the clock are void and removed
--   overdue_teams:<inst>:<lane>  ZSET  teams by the rank of their overdue job that started early; void likewise
--   clocks:<inst>                HASH  k:<lane> lane clock, v:<lane> lane's virtual finish, v virtual time, f ms at
--                                      which the first team of capped:<inst> returns
--   aside:<inst>:<lane>:<team>   ZSET  jobs set aside by rank, because their team runs or spends its maximum (place r,
--                                      also in accepted)
--   counts:<inst>                HASH  w:<team> jobs waiting (r or d), r:<team> jobs running, a:<team> jobs set aside,
--                                      m:<app> running jobs that a further App of the pool pays for
--   capped:<inst>                ZSET  teams that may use no more of the primary window now and whose jobs are set
--                                      aside, by the ms at which they return
--   spent:<inst>:<resource>      HASH  requests of a primary window by lane and team, see account.lua
--   budget:<inst>                HASH  settings of the budget, see budget.lua; in an App pool one for each App
--   limits:<inst>                HASH  state of GitHub's limits, see budget.lua
--   sites                        ZSET  installations with a budget by the time of their last update, at most 1,000
--   full                         TEXT  set while a claim found work that only the end of another job lets start
--   leaders                      HASH  schedulers that lead: name -> ms of the first and of the last time they said so
--   write_check                  TEXT  written by ready.lua, lives a minute
--   value:<name>, lock:<name>    TEXT  small values that replicas share, and the locks around them
-- A job is in exactly one of ready (or aside), delayed and leased, and its hash says which.
local P = KEYS[1]
local LANES = { 'provision', 'deprovision', 'drift' }
-- A write that changes nothing and that a replica refuses. Without it, a demoted primary would run scripts that only
-- read, as if the queue were empty.
redis.call('DEL', P)
local TIME = redis.call('TIME')
local now = TIME[1] * 1000 + math.floor(TIME[2] / 1000)

local function job_key(id)
  return P .. 'job:' .. id
end

local function key(kind, inst, lane)
  return P .. kind .. ':' .. inst .. ':' .. lane
end

local function wake_one()
  if redis.call('EXISTS', P .. 'wakeup') == 0 then
    redis.call('RPUSH', P .. 'wakeup', 1)
  end
end

local function enter_ready(id, inst, lane, rank, accepted, half)
  redis.call('ZADD', key('ready', inst, lane), rank, id)
  redis.call('ZADD', key('accepted', inst, lane), accepted, id)
  redis.call('ZADD', key('overdue', inst, lane), half, id)
  redis.call('HSET', job_key(id), 's', 'r')
  redis.call('HDEL', job_key(id), 'o')
end

local function leave_ready(ids, inst, lane)
  redis.call('ZREM', key('ready', inst, lane), unpack(ids))
  redis.call('ZREM', key('accepted', inst, lane), unpack(ids))
  redis.call('ZREM', key('overdue', inst, lane), unpack(ids))
end

-- Returns true if the job is now the first to become due in its lane, so that a worker must set its timer again.
local function enter_delayed(id, inst, lane, due)
  redis.call('ZADD', key('delayed', inst, lane), due, id)
  redis.call('HSET', job_key(id), 's', 'd')
  redis.call('HDEL', job_key(id), 'o')
  return redis.call('ZRANGE', key('delayed', inst, lane), 0, 0)[1] == id
end

local function mark_leased(id, token, claims)
  redis.call('HSET', job_key(id), 's', 'l', 'o', token, 'n', claims)
end

local function enter_leased(id, inst, lane, token, expiry, claims)
  redis.call('ZADD', key('leased', inst, lane), expiry, id)
  mark_leased(id, token, claims)
end

-- Counts of one team: collected here, written once by `store_counts`.
local counts = {}
local function add_count(inst, field, team, by)
  local of = counts[inst]
  if not of then
    of = {}
    counts[inst] = of
  end
  of[field .. team] = (of[field .. team] or 0) + by
end

local function store_counts()
  for inst, fields in pairs(counts) do
    for field, by in pairs(fields) do
      if by ~= 0 and redis.call('HINCRBY', P .. 'counts:' .. inst, field, by) <= 0 then
        redis.call('HDEL', P .. 'counts:' .. inst, field)
      end
    end
  end
  counts = {}
end

local function add_installation(inst)
  redis.call('ZADD', P .. 'installations', 'NX', 0, inst)
end

