-- The Apps of a pool that no pause stops.
--
-- ARGV: pool
-- Result: { App... }, the pool's own first; empty if an administrator has paused the pool.
-- Complexity: O(a) for a Apps.
local pool = ARGV[1]

local function is_paused(app, reason)
  return (tonumber(redis.call('HGET', P .. 'pauses', 'i:' .. app .. ':' .. reason)) or 0) > now
end

local function is_usable(app)
  for _, reason in ipairs(REASONS) do
    if is_paused(app, reason) then
      return false
    end
  end
  return true
end

local usable = {}
if not is_paused(pool, 'admin') then
  local apps = redis.call('HGET', P .. 'budget:' .. pool, 'apps') or ''
  for app in string.gmatch(pool .. ' ' .. apps, '%S+') do
    if is_usable(app) then
      usable[#usable + 1] = app
    end
  end
end
return usable
