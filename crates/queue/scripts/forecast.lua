-- Forecast for a new job. Overdue jobs precede it by their ranks; one more of each team may.
--
-- ARGV: installation, lane, team, weight, cost, then the share of each lane
-- Result: { ms until it starts, waiting jobs of its team, reason of the longest pause or '', ms left of it }
-- Complexity: O(log N).
local inst, lane, team = ARGV[1], ARGV[2], ARGV[3]
for n, name in ipairs(LANES) do
  SHARES[name] = tonumber(ARGV[5 + n])
end
local clock = tonumber(redis.call('HGET', P .. 'clocks:' .. inst, 'k:' .. lane) or '0')
local last = tonumber(redis.call('ZSCORE', key('teams', inst, lane), team) or '0')
local rank = math.max(clock, last) + tonumber(ARGV[5]) / tonumber(ARGV[4])
local ahead = redis.call('ZCOUNT', key('ready', inst, lane), '-inf', rank)
  + redis.call('ZCARD', key('aside', inst, lane) .. ':' .. team)
local starts, why, left = outlook(inst, lane, ahead, team, tonumber(ARGV[4]))
return { starts, tonumber(redis.call('HGET', P .. 'counts:' .. inst, 'w:' .. team) or '0'), why, left }
