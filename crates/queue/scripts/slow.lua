-- Applies a secondary limit: pauses the installation and halves its rate of writes.
--
-- ARGV: installation, ms to wait
-- Result: ms left of the pause. Limits reported during the pause belong to requests sent before it and halve nothing.
-- Complexity: O(log n) for n installations.
local inst, ms = ARGV[1], tonumber(ARGV[2])
local B = load_budget(inst, { 'mr', 'mt' })
local scope = 'i:' .. inst .. ':secondary_limit'
local held = tonumber(redis.call('HGET', P .. 'pauses', scope) or '0') > now
local left = hold_installation(inst, 'secondary_limit', ms)
if not held then
  local rate, most = mutation_rate(B)
  put(B, 'mr', math.min(math.max(rate / 2, MIN_MUTATION_RATE), most))
end
put(B, 'mt', now + left)
ask_for_probe(B)
store_budget(B)
touch_budget(inst)
return left
