//! After the faults: everything heals, every job ends, every doubt is settled.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use sqlx::Row;
use tokio::time::{Instant, sleep};

use crate::{environment::Environment, evidence::queued, redis_snapshot::RedisSnapshot, slowness::Slowness};

/// How often it is looked, and reaping moved on.
const LOOK: Duration = Duration::from_millis(500);

/// How long rows and queue may tell different things: what a lost message left behind, the sweep finds within 10 s, and what
/// a dead worker held comes back with its lease.
const BEHIND: Duration = Duration::from_secs(15);

/// How a run came to rest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settled {
    /// In time.
    pub(crate) in_time: bool,
    /// How often the queue's counters were held against the rows.
    pub(crate) compared: usize,
    /// Where they differed for too long.
    pub(crate) behind: Vec<String>,
}

/// Ends every fault and starts whatever is down.
pub(crate) fn heal(stage: &Environment) -> anyhow::Result<()> {
    stage.good_day();
    stage.proxies.iter().for_each(|proxy| proxy.set(None));
    for slot in &stage.slots {
        slot.signal(Signal::SIGCONT);
        slot.start()?;
    }
    Ok(())
}

/// Waits until no job is open, no call in doubt, no webhook unread, no row left of a runner that is gone and nothing in the
/// queue, with the look-ups of calls in doubt made due at once.
pub(crate) async fn settle(
    stage: &Arc<Environment>,
    limit: Duration,
    slowness: &Slowness,
) -> anyhow::Result<Settled> {
    let begun = Instant::now();
    let (mut settled, mut calm, mut differ) = (Settled::default(), 0, None);
    while begun.elapsed() < limit.mul_f64(slowness.factor()) {
        let left = left(stage).await?;
        stage.log.note(&left);
        let held = RedisSnapshot::read(stage).await?.of_jobs().len();
        calm = if left.is_nothing() && held == 0 { calm + 1 } else { 0 };
        compare(stage, &mut settled, &mut differ, BEHIND.mul_f64(slowness.factor())).await?;
        // Twice: between two look-ups of one call nothing is open for a moment.
        if calm == 2 {
            settled.in_time = true;
            break;
        }
        // Not before a late effect can have happened.
        let hurry = "UPDATE github_calls SET next_reap_at = now() - interval '1 second'
             WHERE next_reap_at > now() AND started_at < now() - interval '6 seconds'";
        sqlx::query(hurry).execute(&stage.sql).await?;
        sleep(LOOK).await;
    }
    Ok(settled)
}

/// Holds what the service tells of its queue against the rows, before and after: jobs come and go meanwhile.
async fn compare(
    stage: &Environment,
    settled: &mut Settled,
    differ: &mut Option<Instant>,
    most: Duration,
) -> anyhow::Result<()> {
    let open = "SELECT count(*) FROM jobs WHERE finished_at IS NULL";
    let before: i64 = sqlx::query_scalar(open).fetch_one(&stage.sql).await?;
    let told = queued(stage).await?;
    let after: i64 = sqlx::query_scalar(open).fetch_one(&stage.sql).await?;
    settled.compared += 1;
    if (before.min(after)..=before.max(after)).contains(&told) {
        *differ = None;
    } else if differ.get_or_insert_with(Instant::now).elapsed() > most {
        settled.behind.push(format!("the queue tells of {told} jobs, and {after} rows are open"));
    }
    Ok(())
}

/// What is not settled yet.
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

/// What is not settled yet.
pub(crate) async fn left(stage: &Environment) -> sqlx::Result<Left> {
    let query = "SELECT (SELECT count(*) FROM jobs WHERE finished_at IS NULL),
        (SELECT count(*) FROM github_calls WHERE state IN ('intent', 'effect_suspected')),
        (SELECT count(*) FROM webhook_inbox WHERE state = 'pending')";
    let row = sqlx::query(query).fetch_one(&stage.sql).await?;
    let bound =
        "SELECT github_runner_id FROM runners WHERE status <> 'deleted' AND github_runner_id IS NOT NULL";
    let bound: Vec<i64> = sqlx::query_scalar(bound).fetch_all(&stage.sql).await?;
    let there: HashSet<u64> = stage.twin.runners().iter().map(|runner| runner.id).collect();
    let gone = |id: &&i64| !u64::try_from(**id).is_ok_and(|id| there.contains(&id));
    Ok(Left {
        jobs: row.try_get(0)?,
        calls: row.try_get(1)?,
        webhooks: row.try_get(2)?,
        rows: bound.iter().filter(gone).count(),
    })
}
