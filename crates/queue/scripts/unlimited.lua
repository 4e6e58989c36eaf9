-- Records that GitHub has no limits for this installation, until a response names one.
--
-- ARGV: installation
-- Result: 1 if this is new, 0 if it was known.
-- Complexity: O(log n) for n installations.
local inst = ARGV[1]
local B = load_budget(inst, {})
local new = not get(B, 'ul')
if new then
  put(B, 'ul', '1')
  wake_one()
end
store_budget(B)
touch_budget(inst)
return new and 1 or 0
