-- This installation's GitHub has no limits: none is kept until an answer names one.
--
-- ARGV: installation
-- Result: 1 when that is new, 0 when it was known.
-- Complexity: O(log n) for n installations.
local inst = ARGV[1]
local B = load_budget(inst, {})
local new = not get(B, 'ul')
if new then
  put(B, 'ul', '1')
  wake_one()
end
store_budget(B)
heard_of(inst)
return new and 1 or 0
