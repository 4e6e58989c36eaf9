//! Lua scripts, each with the libraries it uses in front.
//!
//! Redis runs a script from its beginning at each call, so each call defines all functions again. Lua searches the list
//! of open variables, the newest first, for each variable that a function uses. Everything after `common.lua` is
//! therefore in a function of its own: there, the variables of `common.lua`, which most functions use, are at hand.

use std::sync::LazyLock;

use redis::Script;

macro_rules! scripts {
    ($($name:ident = [$($file:literal),+]),+ $(,)?) => {$(
        pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(
                include_str!("../scripts/lib/common.lua"),
                "return (function() ",
                $(include_str!(concat!("../scripts/", $file)),)+
                "end)()",
            ))
        });
    )+};
}

scripts! {
    ANSWERED = ["lib/budget.lua", "lib/window.lua", "lib/account.lua", "lib/probe.lua", "lib/correct.lua", "answered.lua"],
    BUDGETS = ["lib/budget.lua", "lib/window.lua", "lib/account.lua", "lib/probe.lua", "budgets.lua"],
    CANCEL = ["cancel.lua"],
    CLAIM = ["lib/budget.lua", "lib/window.lua", "lib/account.lua", "lib/probe.lua", "lib/pool.lua", "lib/teams.lua", "lib/returns.lua", "claim.lua"],
    ENQUEUE = ["enqueue.lua"],
    EXTEND = ["extend.lua"],
    FORECAST = ["lib/budget.lua", "lib/window.lua", "lib/account.lua", "lib/probe.lua", "lib/pool.lua", "lib/hold.lua", "lib/estimate.lua", "forecast.lua"],
    LEADERS = ["leaders.lua"],
    OBSERVE = ["lib/budget.lua", "lib/window.lua", "lib/account.lua", "lib/probe.lua", "lib/correct.lua", "lib/hold.lua", "observe.lua"],
    OUTCOME = ["lib/budget.lua", "lib/window.lua", "lib/account.lua", "lib/probe.lua", "lib/hold.lua", "outcome.lua"],
    PAUSE = ["lib/budget.lua", "lib/window.lua", "lib/account.lua", "lib/probe.lua", "lib/hold.lua", "pause.lua"],
    PAUSES = ["pauses.lua"],
    PERMIT = ["lib/budget.lua", "lib/window.lua", "lib/account.lua", "lib/probe.lua", "lib/correct.lua", "lib/hold.lua", "permit.lua"],
    PLACES = ["places.lua"],
    READY = ["ready.lua"],
    RENEW_LOCK = ["renew_lock.lua"],
    WAKE = ["wake.lua"],
    SETTINGS = ["lib/budget.lua", "settings.lua"],
    SETTLE = ["lib/budget.lua", "lib/window.lua", "lib/account.lua", "lib/probe.lua", "lib/correct.lua", "lib/teams.lua", "settle.lua"],
    SLOW = ["lib/budget.lua", "lib/window.lua", "lib/account.lua", "lib/probe.lua", "lib/hold.lua", "slow.lua"],
    POSITION = ["lib/budget.lua", "lib/window.lua", "lib/account.lua", "lib/probe.lua", "lib/pool.lua", "lib/hold.lua", "lib/estimate.lua", "position.lua"],
    STATS = ["stats.lua"],
    UNLIMITED = ["lib/budget.lua", "unlimited.lua"],
    USABLE_APPS = ["lib/budget.lua", "usable_apps.lua"],
    UNLOCK = ["unlock.lua"],
}

#[cfg(test)]
mod tests {
    use domain::Lane;

    #[test]
    fn scripts_list_the_lanes_in_the_order_of_the_domain() {
        let names: Vec<_> = Lane::ALL.iter().map(|lane| format!("'{lane}'")).collect();
        let line = format!("local LANES = {{ {} }}", names.join(", "));
        assert!(include_str!("../scripts/lib/common.lua").contains(&line), "{line}");
        let shares: Vec<_> = Lane::ALL.iter().map(|lane| format!("{lane} = {}", lane.share())).collect();
        let line = format!("local LANE_SHARES = {{ {} }}", shares.join(", "));
        assert!(include_str!("../scripts/lib/account.lua").contains(&line), "{line}");
    }
}
