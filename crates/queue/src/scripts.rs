//! The scripts, each with the shared beginning in front.

use std::sync::LazyLock;

use redis::Script;

macro_rules! scripts {
    ($($name:ident = [$($file:literal),+]),+ $(,)?) => {$(
        pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(
                include_str!("../scripts/common.lua"),
                $(include_str!(concat!("../scripts/", $file))),+
            ))
        });
    )+};
}

scripts! {
    ANSWERED = ["budget.lua", "window.lua", "account.lua", "probe.lua", "correct.lua", "answered.lua"],
    BUDGETS = ["budget.lua", "window.lua", "account.lua", "probe.lua", "budgets.lua"],
    CANCEL = ["cancel.lua"],
    CLAIM = ["budget.lua", "window.lua", "account.lua", "probe.lua", "teams.lua", "returns.lua", "claim.lua"],
    ENQUEUE = ["enqueue.lua"],
    EXTEND = ["extend.lua"],
    FORECAST = ["budget.lua", "window.lua", "account.lua", "probe.lua", "hold.lua", "outlook.lua", "forecast.lua"],
    OBSERVE = ["budget.lua", "window.lua", "account.lua", "probe.lua", "correct.lua", "hold.lua", "observe.lua"],
    OUTCOME = ["budget.lua", "window.lua", "account.lua", "probe.lua", "hold.lua", "outcome.lua"],
    PAUSE = ["budget.lua", "window.lua", "account.lua", "probe.lua", "hold.lua", "pause.lua"],
    PAUSES = ["pauses.lua"],
    PERMIT = ["budget.lua", "window.lua", "account.lua", "probe.lua", "correct.lua", "hold.lua", "permit.lua"],
    PLACES = ["places.lua"],
    READY = ["ready.lua"],
    RENEW_LOCK = ["renew_lock.lua"],
    RING = ["ring.lua"],
    SETTINGS = ["budget.lua", "settings.lua"],
    SETTLE = ["budget.lua", "window.lua", "account.lua", "probe.lua", "correct.lua", "teams.lua", "settle.lua"],
    SLOW = ["budget.lua", "window.lua", "account.lua", "probe.lua", "hold.lua", "slow.lua"],
    STANDING = ["budget.lua", "window.lua", "account.lua", "probe.lua", "hold.lua", "outlook.lua", "standing.lua"],
    STATS = ["stats.lua"],
    UNLIMITED = ["budget.lua", "unlimited.lua"],
    UNLOCK = ["unlock.lua"],
}

#[cfg(test)]
mod tests {
    use domain::Lane;

    #[test]
    fn the_scripts_know_the_lanes_in_the_house_s_order() {
        let names: Vec<_> = Lane::ALL.iter().map(|lane| format!("'{lane}'")).collect();
        let line = format!("local LANES = {{ {} }}", names.join(", "));
        assert!(include_str!("../scripts/common.lua").contains(&line), "{line}");
        let shares: Vec<_> = Lane::ALL.iter().map(|lane| format!("{lane} = {}", lane.share())).collect();
        let line = format!("local LANE_SHARES = {{ {} }}", shares.join(", "));
        assert!(include_str!("../scripts/account.lua").contains(&line), "{line}");
    }
}
