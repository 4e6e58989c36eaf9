-- Position of one job.
--
-- ARGV: job, then the share of each lane
-- Result: nil when unknown, else { place (`r`, `d` or `l`), number, ms until it starts, reason of the longest pause or
--   '', ms left of it }. The number is the ready jobs of its lane ahead of it, or the ms until it is due, or 0.
-- Complexity: O(log N).
local id = ARGV[1]
for n, name in ipairs(LANES) do
  SHARES[name] = tonumber(ARGV[1 + n])
end
local h = redis.call('HMGET', job_key(id), 'i', 'l', 's', 'k', 't', 'w')
local inst, lane, place = h[1], h[2], h[3]
if not inst then
  return false
end
-- Of a job that only a newer version can read, only the place is known.
if not tonumber(h[4]) or not SHARES[lane] then
  return { place, 0, 0, '', 0 }
end

-- Ready jobs with a lower rank. Overdue jobs are not counted: of each team only one starts early.
local function ready_before()
  local rank = redis.call('ZRANK', key('ready', inst, lane), id)
  if rank then
    return rank
  end
  local aside = key('aside', inst, lane) .. ':' .. h[5]
  return redis.call('ZCOUNT', key('ready', inst, lane), '-inf', h[4]) + (redis.call('ZRANK', aside, id) or 0)
end

local number, ahead, due = 0, 0, 0
if place == 'r' then
  ahead = ready_before()
  number = ahead
elseif place == 'd' then
  due = math.max(tonumber(redis.call('ZSCORE', key('delayed', inst, lane), id)) - now, 0)
  number, ahead = due, redis.call('ZCOUNT', key('ready', inst, lane), '-inf', h[4])
end
local starts, why, left = outlook(inst, lane, ahead, h[5] or '-', tonumber(h[6] or '1') or 1)
if place == 'l' then
  starts = 0
end
return { place, number, math.max(starts, due), why, left }
