-- Decision whether a call may be sent now, and the probe that is sent first after a pause. Included after window.lua.

-- Ms until no probe is in flight: after a pause one request is sent first. A probe that seems to last longer than any
-- was sent before Redis's clock stepped back, and counts as lost.
local function probe_wait(B)
  if not get(B, 'pw') then
    return 0
  end
  local ms = math.max(tonumber(get(B, 'pp') or '0') - now, 0)
  return ms <= B.probe + STEP and ms or 0
end

-- Ms until GitHub's limits allow this call.
local function budget_wait(B, call)
  local ms = probe_wait(B)
  if B.on == 0 then
    return ms
  end
  ms = math.max(ms, (window_wait(B, call)))
  for _, bucket in ipairs(buckets_of(B, call)) do
    ms = math.max(ms, bucket_wait(bucket, level_of(B, bucket.field), 1, now))
  end
  -- Storing a level loses thousandths.
  return ms < 0.01 and 0 or math.ceil(ms)
end

-- Records a request that is sent. After a pause it is the probe; the end of its job (if any) allows the next one.
local function record_sent(B, job)
  if get(B, 'pw') then
    put(B, 'pp', now + B.probe)
    put(B, 'pj', job ~= '' and job)
  end
end

-- Charges the call to all buckets and windows that `budget_wait` checks.
local function charge_budget(B, call, team, weight)
  if B.on == 0 then
    return
  end
  charge_window(B, call, team, weight)
  for _, bucket in ipairs(buckets_of(B, call)) do
    charge_bucket(B, bucket)
  end
end

-- The job of the probe has ended or lost its worker: without a response to it, another request is the probe. Returns
-- whether it was that job.
local function leave_probe(inst, id)
  local g = P .. 'limits:' .. inst
  if redis.call('HGET', g, 'pj') ~= id then
    return false
  end
  redis.call('HDEL', g, 'pp', 'pj')
  return true
end
