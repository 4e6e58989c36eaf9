//! Many jobs through api and worker: how many a second, and what they leave in memory.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::{Instant, sleep};

use super::{
    Scale,
    load::{self, Ask},
    part::Part,
    report::{Report, Row, Target},
    world::Site,
};

const PATIENCE: Duration = Duration::from_mins(10);
/// Resident megabytes of one process.
const MEMORY: Target = Target::AtMost(60.0);

pub(super) async fn measure(
    site: &Site<'_>,
    [api, worker]: [&Part; 2],
    requests: &Ask,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let queue = site.queue().await?;
    let begun = Instant::now();
    load::closed_loop(requests, PATIENCE, scale.jobs).await?;
    loop {
        let held: u64 =
            queue.stats().await?.lanes.iter().map(|lane| lane.waiting + lane.delayed + lane.running).sum();
        if held == 0 {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "{held} jobs are still not done");
        sleep(Duration::from_millis(50)).await;
    }
    let (time, twin) = (begun.elapsed(), &site.world().twin);
    // GitHub knows no more runners than this, and nobody starts these.
    for runner in twin.runners() {
        twin.remove_runner(runner.id)?;
    }
    let jobs = u32::try_from(scale.jobs)?;
    report.push(Row::new(
        "jobs done while they are asked for",
        "/s",
        &[f64::from(jobs) / time.as_secs_f64()],
    ));
    for (name, part) in [("api", api), ("worker", worker)] {
        let row = Row::new(format!("memory of the {name} after {jobs} jobs"), "MB", &[part.resident()?]);
        report.push(row.target(MEMORY));
    }
    Ok(())
}
