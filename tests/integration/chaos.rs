//! A short chaos run: everything fails for two minutes, and every invariant holds.

use std::path::PathBuf;

use chaos::Plan;

/// A fixed seed; `./dev chaos` draws a new one for each run.
const SEED: u64 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_minutes_of_chaos_keep_every_invariant() {
    let (pg_bin, redis_bin) = (program("DEV_PG_BIN"), program("DEV_REDIS_BIN"));
    // Without the variable, the test builds rts, which waits for other builds of this checkout.
    let rts = program("TEST_RTS");
    let plan = Plan { pg_bin, redis_bin, rts, ..Plan::bounded(SEED) };
    let report = chaos::run(&plan).await.unwrap();
    assert!(report.passed(), "{report}");
}

/// Returns the program's path from the environment; the run needs servers of its own because it restarts them.
#[expect(clippy::disallowed_methods, reason = "the script says where the programs are by the environment")]
fn program(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}
