-- The budgets of every installation with jobs or recorded limits, at most 1,000.
--
-- ARGV: none
-- Result: { { installation, running, writes a minute, registrations used in the last period, breaker, ms left of its
--   pause, ms left for the probe (-1: none is required), { { resource, limit, remaining, ms until reset,
--   { { lane, requests used in this window }... }, { { team, requests used }... } }... },
--   { { endpoint, points used in the last minute }... }, points of a minute and endpoint (0: no limits),
--   registrations of a period (0: no limits), its pool }... }
--   The registrations of a pool are those of its first App.
--   Of the teams the 50 that used most.
-- Complexity: O(installations * (fields + teams that used anything)).
local seen, rows = {}, {}

local function used(B, field, period)
  local level = level_of(B, field)
  local _, this, before = period_use(level, period)
  return math.ceil(this + before * (1 - (now % period) / period))
end

-- Requests of this window by lane and by team.
local function spent_by(B, window, resource)
  local account, lanes, of, teams = account_of(B, resource, window), {}, {}, {}
  for _, lane in ipairs(LANES) do
    lanes[#lanes + 1] = { lane, account.spent[lane] }
  end
  local flat = account.is_new and {} or redis.call('HGETALL', account.key)
  for at = 1, #flat, 2 do
    local team = string.match(flat[at], '^t:[^:]+:(.+)$')
    if team and team ~= '-' then
      of[team] = (of[team] or 0) + tonumber(flat[at + 1])
    end
  end
  for team, number in pairs(of) do
    teams[#teams + 1] = { team, number }
  end
  table.sort(teams, function(a, b)
    return a[2] > b[2] or a[2] == b[2] and a[1] < b[1]
  end)
  return lanes, { unpack(teams, 1, math.min(#teams, 50)) }
end

local function breaker(B, inst)
  local ms = math.max(tonumber(redis.call('HGET', P .. 'pauses', 'i:' .. inst .. ':github_outage') or '0') - now, 0)
  if not get(B, 'bo') then
    return 'closed', ms
  end
  return ms > 0 and 'open' or 'half_open', ms
end

-- The jobs that this App pays for.
local function running_jobs(B)
  if B.pool then
    return tonumber(redis.call('HGET', P .. 'counts:' .. B.pool, 'm:' .. B.inst) or '0')
  end
  local running = 0
  for _, lane in ipairs(LANES) do
    running = running + redis.call('ZCARD', key('leased', B.inst, lane))
  end
  for app in string.gmatch(B.apps or '', '%S+') do
    running = running - tonumber(redis.call('HGET', P .. 'counts:' .. B.inst, 'm:' .. app) or '0')
  end
  return running
end

local function view(inst)
  local windows, points = {}, {}
  local fields = redis.call('HKEYS', P .. 'limits:' .. inst)
  fields[#fields + 1] = 'n'
  local B = load_budget(inst, fields)
  for _, field in ipairs(fields) do
    local kind, name = string.sub(field, 1, 2), string.sub(field, 3)
    local window = kind == 'w:' and window_of(B, name)
    if window then
      local lanes, teams = spent_by(B, window, name)
      windows[#windows + 1] = { name, window.limit, left_of(B, window, name), window.reset - now, lanes, teams }
    elseif kind == 'k:' then
      points[#points + 1] = { name, used(B, field, B.minute) }
    end
  end
  local state, left = breaker(B, inst)
  local probe = get(B, 'pw') and probe_wait(B) or -1
  local limited = B.on ~= 0
  return { inst, running_jobs(B), math.floor((mutation_rate(B))), used(B, 'n', B.span), state, left, probe, windows, points,
    limited and B.points or 0, limited and not B.pool and B.registrations or 0, B.pool or inst }
end

for _, set in ipairs({ 'sites', 'installations' }) do
  for _, inst in ipairs(redis.call('ZREVRANGE', P .. set, 0, 999)) do
    if not seen[inst] and #rows < 1000 then
      seen[inst] = true
      rows[#rows + 1] = view(inst)
    end
  end
end
return rows
