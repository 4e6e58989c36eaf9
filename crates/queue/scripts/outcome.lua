-- Reports a good or a failed response to the circuit breaker.
--
-- ARGV: installation, 1 good or 0 bad
-- Result: { breaker (`closed`, `open` or `half_open`), ms left of the pause }
-- Complexity: O(outcomes kept).
local inst, good = ARGV[1], ARGV[2] == '1'
local B = load_budget(inst, { 'pw', 'pp', 'bo', 'ba' })
local opened = tonumber(get(B, 'bo') or '0')
local scope = 'i:' .. inst .. ':github_outage'
local left = math.max(tonumber(redis.call('HGET', P .. 'pauses', scope) or '0') - now, 0)

local function open(ms)
  put(B, 'bo', ms)
  put(B, 'ba', false)
  ask_for_probe(B)
  opened, left = ms, hold_installation(inst, 'github_outage', ms)
end

-- Returns the number of bad outcomes among the last ones, this one included.
local function record_answer()
  local kept, bad = {}, 0
  for at, kind in string.gmatch(get(B, 'ba') or '', '(%d+):(%d)') do
    if tonumber(at) > now - B.within then
      kept[#kept + 1] = at .. ':' .. kind
    end
  end
  kept[#kept + 1] = string.format('%d:%s', now, ARGV[2])
  local from = math.max(#kept - B.answers + 1, 1)
  for n = from, #kept do
    if string.sub(kept[n], -1) == '0' then
      bad = bad + 1
    end
  end
  put(B, 'ba', table.concat(kept, ' ', from))
  return bad
end

if opened == 0 then
  local bad = record_answer()
  if good then
    end_probe(B)
  elseif bad >= B.bad then
    open(B.open)
  elseif get(B, 'pp') then
    -- The probe failed, but too few requests did: the next request is the probe.
    put(B, 'pp', false)
    wake_one()
  end
elseif left == 0 and get(B, 'pp') then
  if good then
    opened = 0
    put(B, 'bo', false)
    end_probe(B)
  else
    open(math.min(opened * 2, B.longest))
  end
end
store_budget(B)
touch_budget(inst)
local state = opened == 0 and 'closed' or left > 0 and 'open' or 'half_open'
return { state, left }
