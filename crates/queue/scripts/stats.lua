-- Depth and age of every lane of every installation with jobs.
--
-- ARGV: none
-- Result: { { installation, lane, waiting, delayed, running, age of the oldest waiting job ms }... }, at most 1,000
--   installations.
-- Complexity: O(log N) per lane.
local rows = {}
for _, inst in ipairs(redis.call('ZRANGE', P .. 'installations', 0, 999)) do
  for _, lane in ipairs(LANES) do
    local oldest = redis.call('ZRANGE', key('accepted', inst, lane), 0, 0, 'WITHSCORES')[2]
    rows[#rows + 1] = {
      inst,
      lane,
      redis.call('ZCARD', key('accepted', inst, lane)),
      redis.call('ZCARD', key('delayed', inst, lane)),
      redis.call('ZCARD', key('leased', inst, lane)),
      oldest and math.max(now - tonumber(oldest), 0) or 0,
    }
  end
end
return rows
