//! Recovery after the faults: everything restarts, every job ends, every GitHub call is settled.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use sqlx::Row;
use tokio::time::{Instant, sleep};

use crate::{environment::Environment, evidence::queued, redis_snapshot::RedisSnapshot, slowness::Slowness};

/// Time between two checks; look-ups are made due as often.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Time for which rows and queue may differ: lost messages are found by the requeue step within 10 s, and the jobs of a
/// dead worker return with their lease.
const MAX_LAG: Duration = Duration::from_secs(15);

/// State in which a run settled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settled {
    /// Whether it settled in time.
    pub(crate) in_time: bool,
    /// Number of comparisons between the queue's counters and the rows.
    pub(crate) compared: usize,
    /// Differences that lasted too long.
    pub(crate) behind: Vec<String>,
}

/// Ends every fault and starts every process that is down.
pub(crate) fn heal(environment: &Environment) -> anyhow::Result<()> {
    environment.good_day();
    environment.proxies.iter().for_each(|proxy| proxy.set(None));
    for slot in &environment.slots {
        slot.signal(Signal::SIGCONT);
        slot.start()?;
    }
    Ok(())
}

/// Waits until no job is open, no call unresolved, no webhook unread, no row of a removed runner live, and the queue
/// empty. Makes the look-ups of unresolved calls due at once.
pub(crate) async fn settle(
    environment: &Arc<Environment>,
    limit: Duration,
    slowness: &Slowness,
) -> anyhow::Result<Settled> {
    let begun = Instant::now();
    let (mut settled, mut calm, mut differ) = (Settled::default(), 0, None);
    while begun.elapsed() < limit.mul_f64(slowness.factor()) {
        let left = left(environment).await?;
        environment.log.write(&left);
        let held = RedisSnapshot::read(environment).await?.of_jobs().len();
        calm = if left.is_nothing() && held == 0 { calm + 1 } else { 0 };
        compare_queue_with_rows(environment, &mut settled, &mut differ, MAX_LAG.mul_f64(slowness.factor()))
            .await?;
        // Twice: between two look-ups of one call nothing is open for a moment.
        if calm == 2 {
            settled.in_time = true;
            break;
        }
        // Not before a late effect can have happened.
        let hurry = "UPDATE github_calls SET next_reap_at = now() - interval '1 second'
             WHERE next_reap_at > now() AND started_at < now() - interval '6 seconds'";
        sqlx::query(hurry).execute(&environment.sql).await?;
        sleep(POLL_INTERVAL).await;
    }
    Ok(settled)
}

/// Compares the queue's counters with the rows before and after: jobs come and go meanwhile.
async fn compare_queue_with_rows(
    environment: &Environment,
    settled: &mut Settled,
    differ: &mut Option<Instant>,
    most: Duration,
) -> anyhow::Result<()> {
    let open = "SELECT count(*) FROM jobs WHERE finished_at IS NULL";
    let before: i64 = sqlx::query_scalar(open).fetch_one(&environment.sql).await?;
    let told = queued(environment).await?;
    let after: i64 = sqlx::query_scalar(open).fetch_one(&environment.sql).await?;
    settled.compared += 1;
    if (before.min(after)..=before.max(after)).contains(&told) {
        *differ = None;
    } else if differ.get_or_insert_with(Instant::now).elapsed() > most {
        settled.behind.push(format!("the API reports {told} queued jobs, and {after} rows are open"));
    }
    Ok(())
}

/// Work that is not settled yet.
#[derive(Debug, Default)]
pub(crate) struct Left {
    jobs: i64,
    calls: i64,
    webhooks: i64,
    rows: usize,
}

impl Left {
    fn is_nothing(&self) -> bool {
        self.jobs + self.calls + self.webhooks == 0 && self.rows == 0
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jobs, calls, webhooks, rows } = self;
        write!(
            f,
            "{jobs} jobs open, {calls} calls in doubt, {webhooks} webhooks unread, {rows} rows without a runner"
        )
    }
}

/// Returns the work that is not settled yet.
pub(crate) async fn left(environment: &Environment) -> sqlx::Result<Left> {
    let query = "SELECT (SELECT count(*) FROM jobs WHERE finished_at IS NULL),
        (SELECT count(*) FROM github_calls WHERE state IN ('intent', 'effect_suspected')),
        (SELECT count(*) FROM webhook_inbox WHERE state = 'pending')";
    let row = sqlx::query(query).fetch_one(&environment.sql).await?;
    let bound =
        "SELECT github_runner_id FROM runners WHERE status <> 'deleted' AND github_runner_id IS NOT NULL";
    let bound: Vec<i64> = sqlx::query_scalar(bound).fetch_all(&environment.sql).await?;
    let there: HashSet<u64> = environment.twin.runners().iter().map(|runner| runner.id).collect();
    let gone = |id: &&i64| !u64::try_from(**id).is_ok_and(|id| there.contains(&id));
    Ok(Left {
        jobs: row.try_get(0)?,
        calls: row.try_get(1)?,
        webhooks: row.try_get(2)?,
        rows: bound.iter().filter(gone).count(),
    })
}
