//! Everything fails for two minutes, and every promise is kept.

use std::path::PathBuf;

use chaos::Plan;

/// Any; `./dev chaos` takes a new one each time.
const SEED: u64 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_minutes_of_chaos_break_no_promise() {
    let (pg_bin, redis_bin) = (program("DEV_PG_BIN"), program("DEV_REDIS_BIN"));
    // Without it rts is built here, which waits for every other build of this checkout.
    let rts = program("TEST_RTS");
    let plan = Plan { pg_bin, redis_bin, rts, ..Plan::bounded(SEED) };
    let report = chaos::run(&plan).await.unwrap();
    assert!(report.passed(), "{report}");
}

/// Servers of its own: the run restarts them.
#[expect(clippy::disallowed_methods, reason = "the script says where the programs are by the environment")]
fn program(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}
