//! Time from the death of the leading scheduler to the first step of the next leader.

use std::time::Duration;

use anyhow::ensure;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use crate::{
    environment::{Deployment, Environment},
    report::{Report, Row, Target},
    scale::Scale,
};

const POLL_INTERVAL: Duration = Duration::from_millis(10);
const TIMEOUT: Duration = Duration::from_mins(1);
const TAKE_OVER: Target = Target::AtMost(15.0);

/// Seconds since the leader was killed.
struct TakeOver {
    /// Until another scheduler held the lease.
    lease: f64,
    /// Until it began a sync run.
    sync_run: f64,
}

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let deployment = environment.deployment("leaders", 6)?;
    deployment.start_api().await?.stop().await?;
    let mut postgres = PgConnection::connect(&deployment.database_url).await?;
    let (mut lease, mut sync_run) = (Vec::new(), Vec::new());
    for _ in 0..scale.repetitions {
        let take_over = kill_leader(&deployment, &mut postgres).await?;
        lease.push(take_over.lease);
        sync_run.push(take_over.sync_run);
    }
    postgres.close().await?;
    report.push(Row::new("leader killed until another leads", "s", &lease).target(TAKE_OVER));
    report.push(Row::new("leader killed until the next sync run begins", "s", &sync_run).target(TAKE_OVER));
    Ok(())
}

async fn kill_leader(deployment: &Deployment<'_>, postgres: &mut PgConnection) -> anyhow::Result<TakeOver> {
    let leader = deployment.start_scheduler()?;
    let first = wait_for_leader_after(postgres, "", Instant::now()).await?;
    let mut follower = deployment.start_scheduler()?;
    follower.wait_for("scheduling").await?;
    // Long enough that the follower has asked for the lease and was refused.
    sleep(Duration::from_secs(3)).await;
    let killed = Instant::now();
    leader.kill().await?;
    // Makes a sync run due, which the next leader begins.
    sqlx::query("DELETE FROM sync_status").execute(&mut *postgres).await?;
    wait_for_leader_after(postgres, &first, killed).await?;
    let lease = killed.elapsed().as_secs_f64();
    let begun = "SELECT count(*) FROM sync_status WHERE attempted_at IS NOT NULL";
    while sqlx::query_scalar::<_, i64>(begun).fetch_one(&mut *postgres).await? == 0 {
        ensure!(killed.elapsed() < TIMEOUT, "the next leader begins no sync run");
        sleep(POLL_INTERVAL).await;
    }
    let sync_run = killed.elapsed().as_secs_f64();
    follower.stop().await?;
    Ok(TakeOver { lease, sync_run })
}

/// Waits until a scheduler other than `previous` holds the lease and returns its name.
async fn wait_for_leader_after(
    postgres: &mut PgConnection,
    previous: &str,
    since: Instant,
) -> anyhow::Result<String> {
    let holder = "SELECT holder FROM scheduler_leases WHERE expires_at > clock_timestamp() AND holder <> $1";
    loop {
        let found = sqlx::query_scalar::<_, String>(holder).bind(previous).fetch_optional(&mut *postgres);
        if let Some(holder) = found.await? {
            return Ok(holder);
        }
        ensure!(since.elapsed() < TIMEOUT, "no scheduler holds the lease");
        sleep(POLL_INTERVAL).await;
    }
}
