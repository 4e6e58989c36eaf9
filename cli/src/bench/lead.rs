//! From the death of the leading scheduler to the first step of another.

use std::time::Duration;

use anyhow::ensure;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use super::{
    Scale,
    report::{Report, Row, Target},
    world::{Site, World},
};

const LOOK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_mins(1);
const TAKE_OVER: Target = Target::AtMost(15.0);

pub(super) async fn measure(world: &World, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let site = world.site("leaders", 6)?;
    site.api().await?.stop().await?;
    let mut postgres = PgConnection::connect(&world.database_url(&site.database)).await?;
    let (mut led, mut passed) = (Vec::new(), Vec::new());
    for _ in 0..scale.repetitions {
        let (until_led, until_passed) = once(&site, &mut postgres).await?;
        led.push(until_led);
        passed.push(until_passed);
    }
    postgres.close().await?;
    report.push(Row::new("leader killed until another leads", "s", &led).target(TAKE_OVER));
    report.push(Row::new("leader killed until the next pass begins", "s", &passed).target(TAKE_OVER));
    Ok(())
}

/// Seconds from the death to the next holder of the lease, and to the first pass it begins.
async fn once(site: &Site<'_>, postgres: &mut PgConnection) -> anyhow::Result<(f64, f64)> {
    let leader = site.scheduler()?;
    let first = another(postgres, "", Instant::now()).await?;
    let mut heir = site.scheduler()?;
    heir.wait_for("scheduling").await?;
    // It has asked for the lease by then and been refused.
    sleep(Duration::from_secs(3)).await;
    let died = Instant::now();
    leader.kill().await?;
    // A sync is due, and no scheduler begins it.
    sqlx::query("DELETE FROM sync_status").execute(&mut *postgres).await?;
    another(postgres, &first, died).await?;
    let led = died.elapsed().as_secs_f64();
    let begun = "SELECT count(*) FROM sync_status WHERE attempted_at IS NOT NULL";
    while sqlx::query_scalar::<_, i64>(begun).fetch_one(&mut *postgres).await? == 0 {
        ensure!(died.elapsed() < PATIENCE, "the next leader does nothing");
        sleep(LOOK).await;
    }
    let passed = died.elapsed().as_secs_f64();
    heir.stop().await?;
    Ok((led, passed))
}

/// Waits until a scheduler other than `known` holds the lease.
async fn another(postgres: &mut PgConnection, known: &str, since: Instant) -> anyhow::Result<String> {
    let holder = "SELECT holder FROM scheduler_leases WHERE expires_at > clock_timestamp() AND holder <> $1";
    loop {
        let found = sqlx::query_scalar::<_, String>(holder).bind(known).fetch_optional(&mut *postgres);
        if let Some(holder) = found.await? {
            return Ok(holder);
        }
        ensure!(since.elapsed() < PATIENCE, "nobody leads");
        sleep(LOOK).await;
    }
}
