-- Every current pause.
--
-- ARGV: none
-- Result: { { scope, ms left }... }
-- Complexity: O(pauses).
local flat = redis.call('HGETALL', P .. 'pauses')
local held = {}
for at = 1, #flat, 2 do
  local left = tonumber(flat[at + 1]) - now
  if left > 0 then
    held[#held + 1] = { flat[at], left }
  end
end
return held
