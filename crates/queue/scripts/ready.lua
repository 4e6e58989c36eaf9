-- Proves that this server accepts writes: it is a primary, owns our slot, and has memory left.
--
-- ARGV: none
-- Result: 1.
-- Complexity: O(1).
redis.call('SET', P .. 'write_check', 1, 'PX', 60000)
return 1
