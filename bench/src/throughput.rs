//! Throughput and memory of many jobs through API and worker.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::{Instant, sleep};

use crate::{
    environment::Deployment,
    http_load::{self, PostRequests},
    process::ServiceProcess,
    report::{Report, Row, Target},
    scale::Scale,
};

const TIMEOUT: Duration = Duration::from_mins(10);
/// Resident megabytes of one process.
const MEMORY: Target = Target::AtMost(60.0);

/// Processes whose memory is measured.
#[derive(Clone, Copy)]
pub(crate) struct Processes<'p> {
    pub(crate) api: &'p ServiceProcess,
    pub(crate) worker: &'p ServiceProcess,
}

pub(crate) async fn measure(
    deployment: &Deployment<'_>,
    processes: Processes<'_>,
    requests: &PostRequests,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let queue = deployment.queue_without_limits().await?;
    let start = Instant::now();
    http_load::run_closed_loop(requests, TIMEOUT, scale.jobs).await?;
    loop {
        let stats = queue.stats().await?;
        let open: u64 = stats.lanes.iter().map(|lane| lane.waiting + lane.delayed + lane.running).sum();
        if open == 0 {
            break;
        }
        ensure!(start.elapsed() < TIMEOUT, "{open} jobs are still not done");
        sleep(Duration::from_millis(50)).await;
    }
    let (time, twin) = (start.elapsed(), &deployment.environment().twin);
    // No machine starts these runners, and later sections count the runners on GitHub.
    for runner in twin.runners() {
        twin.remove_runner(runner.id)?;
    }
    let jobs = u32::try_from(scale.jobs)?;
    report.push(Row::new(
        "jobs done while they are asked for",
        "/s",
        &[f64::from(jobs) / time.as_secs_f64()],
    ));
    for (name, process) in [("api", processes.api), ("worker", processes.worker)] {
        let memory = process.resident_memory()?;
        let row = Row::new(format!("memory of the {name} after {jobs} jobs"), "MB", &[memory]);
        report.push(row.target(MEMORY));
    }
    Ok(())
}
