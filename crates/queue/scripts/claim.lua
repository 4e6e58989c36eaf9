-- Leases the next jobs, or returns the time to wait.
--
-- ARGV: claimer, request number, jobs wanted (1 to 100), lease ms, longest wait ms, installations considered at most,
--   then the share of each lane
-- Result: { wait ms, { job, installation, lane, rank, accepted ms, half-deadline ms, cost, claims, rescues, team,
--   further App of the pool that pays or '' }... , jobs put off because their hash cannot be read }
--   The first request of each job is paid for.
--   A claimer that repeats its request number gets the jobs of the lost result.
-- Complexity: O((n + e + d + s) log N) for n claimed, at most 64 expired and 256 due jobs, and at most 32 jobs of
--   each lane that are set aside, plus O(a) for the a Apps of the installations considered. At most 8 overdue jobs are
--   considered for each job claimed.
local claimer, request = ARGV[1], ARGV[2]
local want, lease, longest, INSTALLATIONS = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local token = claimer .. '.' .. request
local SHARES = {}
for n, lane in ipairs(LANES) do
  SHARES[lane] = tonumber(ARGV[6 + n])
end
local ASIDE, OVERDUE, TIDY = 32, 8, 8
local wait, full = longest, false

local function shorten_wait(ms)
  if ms < wait then
    wait = math.max(ms, 0)
  end
end

local function read_job(id)
  local h = redis.call('HMGET', job_key(id), 'i', 'l', 'k', 'a', 'h', 'c', 'n', 'x', 't', 'm', 'w')
  return { id, h[1], h[2], h[3], h[4], h[5], h[6], tonumber(h[7]), tonumber(h[8]), h[9], h[10] or '' },
    tonumber(h[11] or '1')
end

-- Whether every field used in calculations exists and is a number.
local function is_readable(job, weight, inst, lane)
  for at = 4, 9 do
    if not tonumber(job[at]) then
      return false
    end
  end
  return weight and job[2] == inst and job[3] == lane and job[10]
end

-- 0 The result of this request was lost on its way: return it again. For an older request it returns nothing, because
-- its claimer has gone on and would not run the jobs.
local function repeated_claim()
  local last = redis.call('GET', P .. 'claim:' .. claimer)
  local asked = last and string.match(last, '^%d+')
  if not asked or tonumber(asked) < tonumber(request) then
    return nil
  end
  local again = {}
  for id in string.gmatch(string.sub(last, #asked + 1), '%S+') do
    if redis.call('HGET', job_key(id), 'o') == token then
      local job = read_job(id)
      enter_leased(id, job[2], job[3], token, now + lease, job[8])
      again[#again + 1] = job
    end
  end
  return again
end

-- 1 Expired leases and 2 delayed jobs that became due return, see returns.lua.

local pauses, held, sites = {}, false, {}
local moved = {} -- jobs that this claim leased, set aside or dropped
local function load_pauses()
  local flat = redis.call('HGETALL', P .. 'pauses')
  for at = 1, #flat, 2 do
    local until_ms = tonumber(flat[at + 1])
    if until_ms <= now then
      redis.call('HDEL', P .. 'pauses', flat[at])
    else
      -- An administrator pauses a whole pool by the name of its first App; any other pause is of one App.
      local scope = not string.match(flat[at], ':admin$') and string.match(flat[at], '^i:[^:]+') or flat[at]
      pauses[scope] = math.max(pauses[scope] or 0, until_ms)
      held = true
    end
  end
end

-- Returns 0 if an App may send the first request of this lane, otherwise the ms until the next attempt makes sense. A
-- job has at most one request in flight, so the number of leases is the concurrency GitHub sees.
local function app_wait(app, lane)
  if held then
    local until_ms = math.max(pauses['i:' .. app.inst .. ':admin'] or 0, pauses['i:' .. app.inst] or 0)
    if until_ms > now then
      return until_ms - now
    end
  end
  if app.running >= app.concurrency then
    full = true
    return longest
  end
  return budget_wait(app, FIRST[lane])
end

-- 3a Returns 0 if a job of this lane may start now, otherwise the ms until the next attempt makes sense.
local function lane_wait(site, lane)
  if held then
    local until_ms = math.max(pauses['i:' .. site.inst .. ':admin'] or 0, pauses['l:' .. lane] or 0)
    if until_ms > now then
      return until_ms - now
    end
  end
  local ms = app_wait(site.budget, lane)
  for n = 2, #site.apps do
    ms = ms > 0 and math.min(ms, app_wait(site.apps[n], lane)) or 0
  end
  return ms
end

-- Returns due jobs to their lanes. Results: the number of leases, and whether jobs are delayed.
local function return_jobs(inst)
  local running = 0
  for _, lane in ipairs(LANES) do
    local leases = redis.call('ZCARD', key('leased', inst, lane))
    if leases > 0 then
      running = running + leases - return_expired(inst, lane)
    end
  end
  local delayed = redis.call('EXISTS', key('delayed', inst, 'provision'), key('delayed', inst, 'deprovision'),
    key('delayed', inst, 'drift')) > 0
  if delayed then
    for _, lane in ipairs(LANES) do
      return_due(inst, lane)
    end
  end
  return running, delayed
end

-- The first jobs of a lane by rank: all that this claim may take, and one more to detect a backlog.
local function read_ready(inst, lane)
  return { ids = redis.call('ZRANGE', key('ready', inst, lane), 0, want), at = 1 }
end

-- Removes the leased jobs from their lane, all at once.
local function store_leases(site, lane)
  local ids = site.leased[lane]
  if not ids then
    return
  end
  local leases = {}
  for n, id in ipairs(ids) do
    leases[2 * n - 1], leases[2 * n] = now + lease, id
  end
  leave_ready(ids, site.inst, lane)
  redis.call('ZADD', key('leased', site.inst, lane), unpack(leases))
  site.leased[lane] = nil
end

-- The ready job with the lowest rank that this claim has not moved; nil if there is none.
local function lowest_rank(site, lane)
  local ready = site.ready[lane]
  while true do
    local id = ready.ids[ready.at]
    if not id and #ready.ids > want then
      store_leases(site, lane)
      ready = read_ready(site.inst, lane)
      site.ready[lane] = ready
    elseif not id or not moved[id] then
      return id
    else
      ready.at = ready.at + 1
    end
  end
end

-- The budgets of the site's Apps, with the number of jobs that each pays for.
local function load_site_apps(inst, running)
  local apps = load_apps(load_budget(inst, FIRST_FIELDS), FIRST_FIELDS)
  apps[1].running = running
  for n = 2, #apps do
    apps[n].running = tonumber(redis.call('HGET', P .. 'counts:' .. inst, 'm:' .. apps[n].inst) or '0')
    apps[1].running = apps[1].running - apps[n].running
  end
  return apps
end

-- The clocks and the budgets of one installation, read once and written once per claim.
local function load_site(inst)
  local running, delayed = return_jobs(inst)
  local h = redis.call('HMGET', P .. 'clocks:' .. inst, 'v', 'k:provision', 'k:deprovision', 'k:drift',
    'v:provision', 'v:deprovision', 'v:drift', 'f')
  local back = tonumber(h[8] or 'inf')
  if back <= now or back > now + LONGEST_RETURN and back < math.huge then
    return_capped(inst)
  end
  local apps = load_site_apps(inst, running)
  local site = {
    inst = inst, v = tonumber(h[1] or '0'), clock = {}, finish = {}, ready = {}, served = {}, look = {}, leased = {},
    overdue = {}, running = running, delayed = delayed,
    back = back, teams = {}, apps = apps, budget = apps[1],
  }
  for n, lane in ipairs(LANES) do
    site.clock[lane] = tonumber(h[1 + n] or '0')
    site.finish[lane] = tonumber(h[4 + n] or '0')
    site.ready[lane] = read_ready(inst, lane)
    site.look[lane] = ASIDE
  end
  return site
end

-- Entries at or below the clock are void. They are few, so only some of the claims remove them.
local function forget_teams(site, lane)
  for _, teams in ipairs({ key('teams', site.inst, lane), key('overdue_teams', site.inst, lane) }) do
    local past = redis.call('ZRANGEBYSCORE', teams, '-inf', site.clock[lane], 'LIMIT', 0, 64 * TIDY)
    if #past > 0 then
      redis.call('ZREM', teams, unpack(past))
    end
  end
end

local function store_site(site)
  local clocks = { 'v', site.v }
  for lane in pairs(site.served) do
    store_leases(site, lane)
    for _, word in ipairs({ 'k:' .. lane, site.clock[lane], 'v:' .. lane, site.finish[lane] }) do
      clocks[#clocks + 1] = word
    end
    if TIME[2] % TIDY == 0 then
      forget_teams(site, lane)
    end
  end
  redis.call('HSET', P .. 'clocks:' .. site.inst, unpack(clocks))
  for _, app in ipairs(site.apps) do
    store_budget(app)
  end
end

-- 3b Lanes with jobs, the one furthest behind its share first. A lane that was idle starts at the common virtual time:
-- it gets its share from now on, not the part it left unused.
local function lanes_in_turn(site)
  local turn = {}
  for n, lane in ipairs(LANES) do
    if lowest_rank(site, lane) then
      turn[#turn + 1] = { lane = lane, start = math.max(site.finish[lane], site.v), n = n }
    end
  end
  if #turn > 1 then
    table.sort(turn, function(a, b)
      if a.start ~= b.start then
        return a.start < b.start
      end
      return a.n < b.n
    end)
  end
  return turn
end

-- Whether an overdue job of the team started before its turn. Until that turn, the team's other jobs keep to theirs.
local function is_ahead(site, lane, team)
  local rank = redis.call('ZSCORE', key('overdue_teams', site.inst, lane), team)
  return rank and tonumber(rank) > site.clock[lane]
end

-- 3c The lane's first job: an overdue one whose team is not ahead of its turn, otherwise the one with the lowest rank.
local function first_job(site, lane)
  if site.overdue[lane] == false then
    return lowest_rank(site, lane), false
  end
  store_leases(site, lane)
  local ahead, ids = {}, redis.call('ZRANGEBYSCORE', key('overdue', site.inst, lane), '-inf', now, 'LIMIT', 0, OVERDUE)
  site.overdue[lane] = #ids > 0
  for _, id in ipairs(ids) do
    local team = redis.call('HGET', job_key(id), 't')
    if team and ahead[team] == nil then
      ahead[team] = is_ahead(site, lane, team)
    end
    if not team or not ahead[team] then
      return id, true
    end
  end
  return lowest_rank(site, lane), false
end

-- Whether the team runs its maximum. Jobs without a team are not limited.
local function runs_enough(site, team)
  -- No team runs more jobs than all teams together.
  if team == '-' or site.running < site.budget.team then
    return false
  end
  if not site.teams[team] then
    -- Jobs of the team that this claim has leased are written last.
    local leased = counts[site.inst] and counts[site.inst]['r:' .. team] or 0
    site.teams[team] = leased + tonumber(redis.call('HGET', P .. 'counts:' .. site.inst, 'r:' .. team) or '0')
  end
  return site.teams[team] >= site.budget.team
end

-- Free part of an App's primary window over the part of its time that is left. An App whose window is not known comes
-- first: its next response reports it.
local function headroom(app, call)
  local resource = resource_of(app, call.endpoint)
  local window = app.on ~= 0 and window_of(app, resource)
  if not window then
    return math.huge, -app.running
  end
  local free = left_of(app, window, resource) - reserve_of(app, window, call)
  return free / window.limit / math.max(window.reset - now, 1000), -app.running
end

-- The App that pays for the team's next request: of those that may, the one with most headroom. If none may, nil and
-- the ms to wait.
local function payer_of(site, lane, team, weight)
  local wait_ms, payer, most, idle = math.huge, nil, nil, nil
  for _, app in ipairs(site.apps) do
    -- Of a single App the lane has just been asked.
    local ms = #site.apps > 1 and app_wait(app, lane) or 0
    if ms == 0 then
      ms = team_wait(app, FIRST[lane], team, weight)
    end
    if ms > 0 then
      wait_ms = math.min(wait_ms, ms)
    elseif #site.apps == 1 then
      return app
    else
      local room, rest = headroom(app, FIRST[lane])
      if not payer or room > most or room == most and rest > idle then
        payer, most, idle = app, room, rest
      end
    end
  end
  return payer, wait_ms
end

-- Sets the time at which the jobs of a team return that may use no more of the primary window now.
local function return_later(site, team, ms)
  local due = math.ceil(now + ms)
  redis.call('ZADD', P .. 'capped:' .. site.inst, 'NX', due, team)
  if site.back <= now or due < site.back then
    site.back = due
    redis.call('HSET', P .. 'clocks:' .. site.inst, 'f', due)
  end
  shorten_wait(ms)
end

-- The lane's first job whose team may run one more and pay for it, and the App that pays.
local function next_job(site, lane)
  while site.look[lane] > 0 do
    local id, overdue = first_job(site, lane)
    if not id then
      return nil
    end
    local job, weight = read_job(id)
    local readable = is_readable(job, weight, site.inst, lane)
    local busy = readable and runs_enough(site, job[10])
    local payer, ms
    if readable and not busy then
      payer, ms = payer_of(site, lane, job[10], weight)
    end
    if payer then
      return job, overdue, weight, payer
    elseif readable then
      if not busy then
        return_later(site, job[10], ms)
      end
      set_aside(id, site.inst, lane, job[10], job[4])
      full = full or busy
    elseif job[2] then
      leave_ready({ id }, site.inst, lane)
      delay_unreadable(id, site.inst, lane)
      site.delayed = true
    else
      leave_ready({ id }, site.inst, lane)
    end
    moved[id] = true
    site.look[lane] = site.look[lane] - 1
  end
  if lowest_rank(site, lane) then
    shorten_wait(0)
  end
  return nil
end

-- 3d Pays for the first request and advances the clocks. An overdue job starts before its turn, so its rank does not
-- advance the lane's clock. Otherwise every new job would queue behind the backlog of the team that queued too much.
-- The early start counts as the team's next turn.
local function charge(site, turn, job, overdue, weight, payer)
  charge_budget(payer, FIRST[turn.lane], job[10], weight)
  record_sent(payer, job[1])
  site.v = turn.start
  site.finish[turn.lane] = turn.start + tonumber(job[7]) / SHARES[turn.lane]
  local rank = tonumber(job[4])
  if not overdue then
    site.clock[turn.lane] = math.max(site.clock[turn.lane], rank)
  elseif rank > site.clock[turn.lane] then
    redis.call('ZADD', key('overdue_teams', site.inst, turn.lane), rank, job[10])
  end
end

local function lease_job(site, lane, job, payer)
  local id, team = job[1], job[10]
  job[8] = job[8] + 1
  mark_leased(id, token, job[8])
  if payer.home then
    job[11] = payer.inst
    redis.call('HSET', job_key(id), 'm', payer.inst)
    add_count(site.inst, 'm:', payer.inst, 1)
  end
  payer.running = payer.running + 1
  local leased = site.leased[lane] or {}
  leased[#leased + 1] = id
  site.leased[lane], moved[id] = leased, true
  add_count(site.inst, 'w:', team, -1)
  add_count(site.inst, 'r:', team, 1)
  if site.teams[team] then
    site.teams[team] = site.teams[team] + 1
  end
  site.running, site.served[lane] = site.running + 1, true
end

-- One leased job of one installation; nil if none may start there now.
local function lease_next(site)
  for _, turn in ipairs(lanes_in_turn(site)) do
    local ms = lane_wait(site, turn.lane)
    local job, overdue, weight, payer
    if ms == 0 then
      job, overdue, weight, payer = next_job(site, turn.lane)
    else
      shorten_wait(ms)
    end
    if job then
      charge(site, turn, job, overdue, weight, payer)
      lease_job(site, turn.lane, job, payer)
      return job
    end
  end
  return nil
end

-- 4 Finds the time of the next event here. Also removes installations without jobs.
local function next_event(inst)
  local keys = {}
  for _, lane in ipairs(LANES) do
    for _, kind in ipairs({ 'delayed', 'leased' }) do
      local first = redis.call('ZRANGE', key(kind, inst, lane), 0, 0, 'WITHSCORES')
      if first[2] then
        shorten_wait(tonumber(first[2]) - now)
      end
      keys[#keys + 1] = key(kind, inst, lane)
    end
    keys[#keys + 1] = key('ready', inst, lane)
  end
  local back = redis.call('ZRANGE', P .. 'capped:' .. inst, 0, 0, 'WITHSCORES')
  if back[2] then
    shorten_wait(tonumber(back[2]) - now)
    keys[#keys + 1] = P .. 'capped:' .. inst
  end
  if redis.call('EXISTS', unpack(keys)) == 0 and not recount(inst) then
    redis.call('ZREM', P .. 'installations', inst)
    redis.call('DEL', P .. 'clocks:' .. inst, P .. 'counts:' .. inst)
    for _, lane in ipairs(LANES) do
      redis.call('DEL', key('teams', inst, lane), key('overdue_teams', inst, lane))
    end
  end
end

-- Whether another worker should claim: a job may start within a second, or becomes due later, or is in an installation
-- that was not read.
local function more_to_come(names)
  if #sites < #names then
    return true
  end
  for _, site in ipairs(sites) do
    if site.back < math.huge then
      return true
    end
    for _, lane in ipairs(LANES) do
      if (lowest_rank(site, lane) and lane_wait(site, lane) <= 1000)
        or site.delayed and redis.call('EXISTS', key('delayed', site.inst, lane)) == 1 then
        return true
      end
    end
  end
  return false
end

local again = repeated_claim()
if again then
  return { 0, again, 0 }
end

local names = redis.call('ZRANGE', P .. 'installations', 0, INSTALLATIONS)
local others = table.remove(names, INSTALLATIONS + 1) ~= nil
if #names > 0 then
  load_pauses()
end

local jobs, kept = {}, { request }
local function take_job(site)
  local job = #jobs < want and lease_next(site)
  if job then
    jobs[#jobs + 1] = job
    kept[#kept + 1] = job[1]
  end
  return job
end

-- Installations are read in turn, and no more of them than needed: one that was not read is earlier in turn next time.
for _, inst in ipairs(names) do
  if #jobs == want then
    break
  end
  sites[#sites + 1] = load_site(inst)
  take_job(sites[#sites])
end
local found = #jobs > 0
while found and #jobs < want do
  found = false
  for _, site in ipairs(sites) do
    found = take_job(site) and true or found
  end
end

for _, site in ipairs(sites) do
  local served = next(site.served) ~= nil
  if served then
    store_site(site)
  end
  -- A single installation needs no turn.
  if (served or others) and #names > 1 then
    redis.call('ZADD', P .. 'installations', 'XX', redis.call('INCR', P .. 'turn'), site.inst)
  end
end
store_counts()
if #jobs > 0 then
  redis.call('SET', P .. 'claim:' .. claimer, table.concat(kept, ' '), 'PX', lease)
end
if #jobs == want then
  -- More jobs may be left or become due: the next worker claims, and so on until one gets none.
  if more_to_come(names) then
    wake_one()
  end
  wait = 0
else
  for _, inst in ipairs(names) do
    next_event(inst)
  end
  if others then
    shorten_wait(100)
  end
end
if full then
  redis.call('SET', P .. 'full', 1, 'PX', 60000)
end
return { math.ceil(wait), jobs, unreadable }
