-- The places of jobs.
--
-- ARGV: jobs, at most 500
-- Result: { `r`, `d`, `l` or `-` (unknown)... }, in the order asked.
-- Complexity: O(n).
local places = {}
for at = 1, #ARGV do
  places[at] = redis.call('HGET', job_key(ARGV[at]), 's') or '-'
end
return places
