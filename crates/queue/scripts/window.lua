-- GitHub's primary window: how many requests are left until it starts anew. Goes behind budget.lua.

local function resource_of(B, endpoint)
  return get(B, 'x:' .. endpoint) or 'core'
end

-- The primary window as last told; nil when none is known or it is over.
local function window_of(B, resource)
  local window = B.windows[resource]
  if window == nil then
    local limit, left, reset, mark = string.match(get(B, 'w:' .. resource) or '', '^(%S+) (%S+) (%S+) ?(%S*)$')
    window = limit and {
      limit = tonumber(limit), left = tonumber(left), reset = tonumber(reset), mark = tonumber(mark) or 0,
    } or false
    B.windows[resource] = window
  end
  return window and window.reset > now and window or nil
end

local function reserve_of(B, window, call)
  return call.urgent and 0 or math.ceil(window.limit * B.reserve / 100)
end

-- Charges to an unknown window that may still be under way.
local function unanswered(B, resource)
  local number, last = string.match(get(B, 'u:' .. resource) or '', '^(%S+) (%S+)$')
  if not last or tonumber(last) + UNANSWERED <= now then
    return 0, now
  end
  return tonumber(number), tonumber(last)
end

-- Ms until the primary window has room; second: true when a known window is used up.
local function window_wait(B, call)
  local resource = resource_of(B, call.endpoint)
  local window = window_of(B, resource)
  if window then
    local short = window.left <= reserve_of(B, window, call)
    return short and window.reset - now or 0, short
  end
  local number, last = unanswered(B, resource)
  return number < BURST and 0 or last + UNANSWERED - now, false
end

local function charge_window(B, call)
  local resource = resource_of(B, call.endpoint)
  local window = window_of(B, resource)
  if window then
    window.left, window.taken = math.max(window.left - 1, 0), true
  else
    put(B, 'u:' .. resource, string.format('%d %d', unanswered(B, resource) + 1, now))
  end
end
