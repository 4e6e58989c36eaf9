-- App pool: several Apps of one organization, each with a budget of its own. Included after probe.lua.
--
-- A pool has the id of its first App, and its jobs queue under that id. A claim chooses the App that pays. GitHub limits
-- registrations for the organization, so all Apps of a pool charge the bucket `n` of the first one.

-- Returns the budgets of the Apps of a pool, its own first. An installation without further Apps has only its own.
local function load_apps(B, fields)
  local apps = { B }
  if not B.apps then
    return apps
  end
  for app in string.gmatch(B.apps, '%S+') do
    local of = load_budget(app, fields)
    of.home = B
    apps[#apps + 1] = of
  end
  return apps
end
