-- GitHub's primary window: the requests left until it starts again. Included after budget.lua.

local function resource_of(B, endpoint)
  return get(B, 'x:' .. endpoint) or 'core'
end

-- Ms; a time stored this far in the future means that Redis's clock stepped back.
local STEP = 1000

-- The primary window as last reported; nil if none is known or it is over. A window that begins in the future was
-- stored before Redis's clock stepped back: its end is not known any more, and the next response reports it.
local function window_of(B, resource)
  local window = B.windows[resource]
  if window == nil then
    local limit, reported, reset, mark, base, since =
      string.match(get(B, 'w:' .. resource) or '', '^(%S+) (%S+) (%S+) ?(%S*) ?(%S*) ?(%S*)$')
    window = limit and {
      limit = tonumber(limit), reported = tonumber(reported), reset = tonumber(reset), mark = tonumber(mark) or 0,
      base = tonumber(base) or 0, since = tonumber(since) or 0,
    } or false
    B.windows[resource] = window
  end
  return window and window.reset > now and window.since <= now + STEP and window or nil
end

-- Number of requests that are charged and not answered. A request whose response is lost, or that is never sent, counts
-- for one to two times UNANSWERED, and no longer than UNANSWERED after the last charge.
local function requests_in_flight(B, resource)
  local flight = B.flights[resource]
  if not flight then
    local count, before, slot, last = string.match(get(B, 'u:' .. resource) or '', '^(%S+) (%S+) (%S+) (%S+)$')
    flight = {
      count = tonumber(count or 0), before = tonumber(before or 0), slot = tonumber(slot or 0),
      last = tonumber(last or 0),
    }
    local this = math.floor(now / UNANSWERED)
    if flight.slot ~= this then
      flight.before = flight.slot == this - 1 and flight.count or 0
      flight.count, flight.slot = 0, this
    end
    if flight.last + UNANSWERED <= now then
      flight.count, flight.before = 0, 0
    end
    B.flights[resource] = flight
  end
  return flight, flight.count + flight.before
end

-- Remaining requests as GitHub reported them, minus those it may not have counted yet.
local function left_of(B, window, resource)
  local _, number = requests_in_flight(B, resource)
  return math.max(window.reported - number, 0)
end

local function reserve_of(B, window, call)
  return call.urgent and 0 or math.ceil(window.limit * B.reserve / 100)
end
