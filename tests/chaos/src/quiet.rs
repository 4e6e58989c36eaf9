//! After the faults: everything heals, every job ends, every doubt is settled.

use std::{sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use sqlx::Row;
use tokio::time::{Instant, sleep};

use crate::stage::Stage;

/// How often it is looked, and reaping moved on.
const LOOK: Duration = Duration::from_millis(500);

/// Ends every fault and starts whatever is down.
pub(crate) fn heal(stage: &Stage) -> anyhow::Result<()> {
    stage.good_day();
    stage.proxies.iter().for_each(|proxy| proxy.set(None));
    for slot in &stage.slots {
        slot.signal(Signal::SIGCONT);
        slot.start()?;
    }
    Ok(())
}

/// Waits until no job is open and no call in doubt, with the look-ups of calls in doubt made due at once. True when
/// that came about in time.
pub(crate) async fn settle(stage: &Arc<Stage>, limit: Duration) -> anyhow::Result<bool> {
    let until = Instant::now() + limit;
    let mut calm = 0;
    while Instant::now() < until {
        let (open, doubtful) = open(stage).await?;
        stage.log.note(format_args!("{open} jobs are open, {doubtful} calls in doubt"));
        calm = if open + doubtful == 0 { calm + 1 } else { 0 };
        // Twice: between two look-ups of one call nothing is open for a moment.
        if calm == 2 {
            return Ok(true);
        }
        // Not before a late effect can have happened.
        let hurry = "UPDATE github_calls SET next_reap_at = now() - interval '1 second'
             WHERE next_reap_at > now() AND started_at < now() - interval '6 seconds'";
        sqlx::query(hurry).execute(&stage.sql).await?;
        sleep(LOOK).await;
    }
    Ok(false)
}

async fn open(stage: &Stage) -> anyhow::Result<(i64, i64)> {
    let query = "SELECT (SELECT count(*) FROM jobs WHERE finished_at IS NULL),
        (SELECT count(*) FROM github_calls WHERE state IN ('intent', 'effect_suspected'))";
    let row = sqlx::query(query).fetch_one(&stage.sql).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
