-- Wakes one waiting worker.
--
-- ARGV: none
-- Result: 1.
-- Complexity: O(1).
wake_one()
return 1
