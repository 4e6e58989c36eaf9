//! The scripts, each with the shared beginning in front.

use std::sync::LazyLock;

use redis::Script;

macro_rules! scripts {
    ($($name:ident = $file:literal),+ $(,)?) => {$(
        pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(include_str!("../scripts/common.lua"), include_str!(concat!("../scripts/", $file))))
        });
    )+};
}

scripts! {
    CANCEL = "cancel.lua",
    CLAIM = "claim.lua",
    ENQUEUE = "enqueue.lua",
    EXTEND = "extend.lua",
    PAUSE = "pause.lua",
    PAUSES = "pauses.lua",
    PLACES = "places.lua",
    RING = "ring.lua",
    SETTLE = "settle.lua",
    STANDING = "standing.lua",
    STATS = "stats.lua",
}

#[cfg(test)]
mod tests {
    use domain::Lane;

    #[test]
    fn the_scripts_know_the_lanes_in_the_house_s_order() {
        let names: Vec<_> = Lane::ALL.iter().map(|lane| format!("'{lane}'")).collect();
        let line = format!("local LANES = {{ {} }}", names.join(", "));
        assert!(include_str!("../scripts/common.lua").contains(&line), "{line}");
    }
}
