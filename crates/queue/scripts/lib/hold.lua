-- Pauses of an installation, and the probe that ends them. Included after probe.lua.

local function pause_fields(inst)
  local fields = {}
  for n, reason in ipairs(REASONS) do
    fields[n] = 'i:' .. inst .. ':' .. reason
  end
  return fields
end

-- Returns the ms left of the installation's longest pause and its reason. `all`: pauses by administrators and for
-- suspensions count too.
local function installation_pause(inst, all)
  local left, why = 0, nil
  for n, until_ms in ipairs(redis.call('HMGET', P .. 'pauses', unpack(pause_fields(inst)))) do
    local ms, reason = tonumber(until_ms or '0') - now, REASONS[n]
    if ms > left and (all or reason ~= 'admin' and reason ~= 'suspended') then
      left, why = ms, REASONS[n]
    end
  end
  return left, why
end

-- Requires a probe: after a pause that GitHub caused, one request is sent first.
local function ask_for_probe(B)
  put(B, 'pw', '1')
  put(B, 'pp', false)
  put(B, 'pj', false)
end

-- Ends a probe that was answered: all other requests may be sent.
local function end_probe(B)
  if get(B, 'pw') and get(B, 'pp') and installation_pause(B.inst, false) == 0 then
    put(B, 'pw', false)
    put(B, 'pp', false)
    put(B, 'pj', false)
    wake_one()
  end
end

-- Never shortens a pause. Returns the ms left.
local function hold_installation(inst, reason, ms)
  local scope = 'i:' .. inst .. ':' .. reason
  local until_ms = math.max(tonumber(redis.call('HGET', P .. 'pauses', scope) or '0'), now + ms)
  redis.call('HSET', P .. 'pauses', scope, until_ms)
  return until_ms - now
end
