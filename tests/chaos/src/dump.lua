-- Everything Redis holds, read by type at one moment.
--
-- KEYS, ARGV: none
-- Result: { { key, { value... } }... }; a hash tells field and value in turn, a sorted set member and score.
-- Complexity: O(N) for N bytes: for tests alone.
local READ = {
  string = function(key) return { redis.call('GET', key) } end,
  hash = function(key) return redis.call('HGETALL', key) end,
  list = function(key) return redis.call('LRANGE', key, 0, -1) end,
  set = function(key) return redis.call('SMEMBERS', key) end,
  zset = function(key) return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end,
}
local rows = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  local read = READ[kind]
  if not read then
    return redis.error_reply('a key of type ' .. kind)
  end
  rows[#rows + 1] = { key, read(key) }
end
return rows
