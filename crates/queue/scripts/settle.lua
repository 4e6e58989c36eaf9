-- Ends leases: the job is finished, or waits for its next start with its old rank.
--
-- ARGV: groups of 5, at most 200: job, token, outcome (`finish`, `snooze` or `release`), delay ms, unsent (1: the
--   request that its claim paid for was not sent, so the budget gets the cost back)
-- Result: { 1 or 0... }, 0 if the caller no longer owned the lease (then nothing changed).
-- Complexity: O(n log N) for n leases among N jobs.
local answers, alarm, ended, budgets = {}, false, {}, {}

local function budget_of(inst)
  budgets[inst] = budgets[inst] or load_budget(inst, FIRST_FIELDS)
  return budgets[inst]
end

local function refund(app, lane, team)
  local B = budget_of(app)
  B.home = B.pool and budget_of(B.pool)
  refund_budget(B, FIRST[lane], team)
end

for at = 1, #ARGV, 5 do
  local id, outcome, delay = ARGV[at], ARGV[at + 2], tonumber(ARGV[at + 3])
  local h = redis.call('HMGET', job_key(id), 'i', 'l', 'k', 'a', 'h', 'o', 't', 'm')
  local inst, lane = h[1], h[2]
  if h[6] ~= ARGV[at + 1] then
    answers[#answers + 1] = 0
  else
    redis.call('ZREM', key('leased', inst, lane), id)
    add_count(inst, 'r:', h[7], -1)
    ended[inst .. ' ' .. h[7]] = { inst, h[7] }
    local app = h[8] or inst
    if app ~= inst then
      add_count(inst, 'm:', app, -1)
      redis.call('HDEL', job_key(id), 'm')
    end
    alarm = leave_probe(app, id) or alarm
    if ARGV[at + 4] == '1' then
      refund(app, lane, h[7])
    end
    if outcome == 'finish' then
      redis.call('DEL', job_key(id))
    else
      if outcome == 'snooze' then
        -- A holder that reports is alive: only later expired leases count.
        redis.call('HSET', job_key(id), 'x', 0)
      end
      add_count(inst, 'w:', h[7], 1)
      if delay > 0 then
        alarm = enter_delayed(id, inst, lane, now + delay) or alarm
      else
        enter_ready(id, inst, lane, h[3], h[4], h[5])
        alarm = true
      end
    end
    answers[#answers + 1] = 1
  end
end
store_counts()
for _, budget in pairs(budgets) do
  store_budget(budget)
end
for _, of in pairs(ended) do
  alarm = return_set_aside(of[1], of[2]) or alarm
end
-- A claim has found work that waits only for a free slot.
if next(ended) and redis.call('DEL', P .. 'full') == 1 then
  alarm = true
end
if alarm then
  wake_one()
end
return answers
