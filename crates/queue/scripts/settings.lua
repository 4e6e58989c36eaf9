-- Writes the settings of one installation's budget.
--
-- ARGV: installation, then the settings in the order of SETTINGS
-- Result: 1.
-- Complexity: O(log n) for n installations.
local pairs_of = {}
for n, name in ipairs(SETTINGS) do
  pairs_of[#pairs_of + 1] = name
  pairs_of[#pairs_of + 1] = ARGV[1 + n]
end
redis.call('HSET', P .. 'b:' .. ARGV[1], unpack(pairs_of))
heard_of(ARGV[1])
ring()
return 1
