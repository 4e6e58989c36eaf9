//! Scaling signal: workers that it asks for, against the workers that GitHub's limits keep busy.

use std::time::Duration;

use chrono::Utc;
use domain::{InstallationId, Secret};
use operations::Operations;
use queue::{BudgetSettings, Claimer, Observation, Queue, QueueConfig};
use store::Store;
use tokio::time::{Instant, sleep};

use crate::{
    claims,
    environment::Environment,
    report::{Report, Row, Target},
    scale::Scale,
};

/// Redis database of the first run; each run has its own.
const FIRST_REDIS: u16 = 61;
/// Slots of each worker.
const SLOTS: u32 = 8;
/// Time for which the signal counts starts.
const HORIZON: Duration = Duration::from_secs(10);
/// Pause of a worker to which the queue gave no job.
const PAUSE: Duration = Duration::from_millis(50);
/// Longer than the measurement: jobs do not end in it.
const LEASE: Duration = Duration::from_mins(1);
const BUSY: &str = "workers that these starts keep busy";

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let depths: &[usize] = if scale.repetitions > 1 { &[0, 10, 100, 1_000, 10_000] } else { &[10, 10_000] };
    let mut idle = 0.0_f64;
    let deployment = environment.deployment("signal", FIRST_REDIS)?;
    deployment.start_api().await?.stop().await?;
    let store = Store::new(&Secret::new(deployment.database_url.as_str()), 1)?;
    for (nth, depth) in depths.iter().enumerate() {
        let url = environment.redis_url(FIRST_REDIS + u16::try_from(nth)?);
        let queue = Queue::connect(&QueueConfig::new(url, "rts"))?;
        set_limits(&queue).await?;
        claims::enqueue_jobs(&queue, *depth).await?;
        let picture = Operations::new(&store, &queue).picture(Utc::now()).await?;
        let scaling = picture.queue.unwrap_or_default().scaling();
        let wanted = f64::from(u32::try_from(scaling.workers_wanted(u64::from(SLOTS)))?);
        // One worker stays in any case.
        let busy = f64::from(starts(&queue).await?.div_ceil(SLOTS).max(1));
        idle = idle.max(wanted - busy);
        let name = format!("workers wanted, {depth} jobs waiting, {SLOTS} slots");
        report.push(Row::new(name, "", &[wanted]).yardstick(BUSY, &[busy]));
    }
    store.close().await;
    let row = Row::new("most workers wanted that GitHub's limits leave idle", "", &[idle]);
    report.push(row.target(Target::AtMost(0.0)));
    Ok(())
}

/// Gives the installation GitHub's documented limits and a window that is almost unused.
async fn set_limits(queue: &Queue) -> anyhow::Result<()> {
    let installation = InstallationId::default();
    let settings = BudgetSettings { team_running: 1_000, ..BudgetSettings::default() };
    queue.set_budget(&installation, &settings).await?;
    let window = Observation {
        endpoint: Some("generate-jitconfig"),
        resource: "core".to_owned(),
        limit: 15_000,
        remaining: 14_900,
        reset_in: Duration::from_mins(59),
        reset: 1_800_000_000,
    };
    queue.observe(&installation, &window).await?;
    Ok(())
}

/// Returns the number of jobs that start within the signal's time, with more slots than any limit allows.
async fn starts(queue: &Queue) -> anyhow::Result<u32> {
    let (claimer, end, mut started) = (Claimer::new("signal", LEASE), Instant::now() + HORIZON, 0);
    while Instant::now() < end {
        let jobs = queue.claim(&claimer, 100).await?.jobs.len();
        started += u32::try_from(jobs)?;
        if jobs == 0 {
            sleep(PAUSE).await;
        }
    }
    Ok(started)
}
