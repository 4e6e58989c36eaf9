//! Comparison of our queue with other queues, each in a process of its own on the same Redis.
//!
//! `bench/peers/README.md` describes the protocol of these processes and their settings.

mod contest;
mod own_queue;
mod process;
mod table;

use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::{environment::Environment, output, scale::Scale};
pub(crate) use own_queue::run_own_queue;
use process::Contender;
pub(crate) use table::Table;

/// Folder in which `./dev bench --peers` installs the other queues.
pub(crate) const DEFAULT_FOLDER: &str = "target/peers";
/// Redis database of all measurements but the recoveries, which use the databases after it.
const DATABASE: u16 = 9;
/// Bytes of a payload: as many as our own queue stores per job.
const PAYLOAD_BYTES: usize = 128;

/// Request to the process of a queue, in its first argument.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct PeerRequest {
    #[serde(rename = "do")]
    task: PeerTask,
    redis: String,
    queue: String,
    jobs: u32,
    /// Number of jobs or calls at the same time.
    width: usize,
    /// Time limit in seconds, after which the process prints what it has done.
    bound: f64,
    /// Whether the queue is tuned for speed instead of having its default settings.
    tuned: bool,
    payload: String,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum PeerTask {
    /// Add jobs, one per call.
    Enqueue,
    /// Run jobs that do nothing.
    Work,
    /// Take jobs and never finish them.
    Hold,
    /// Add single jobs to an idle worker of the same process.
    Pickup,
}

impl PeerRequest {
    fn new(redis: String, contender: &Contender) -> Self {
        Self {
            task: PeerTask::Work,
            redis,
            queue: "beside".to_owned(),
            jobs: 0,
            width: 16,
            bound: 10.0,
            tuned: contender.tuned,
            payload: "x".repeat(PAYLOAD_BYTES),
        }
    }
}

/// Measures all installed queues. A queue that is not installed or fails has no figures; the others are measured.
pub(crate) async fn measure(environment: &Environment, folder: &Path, scale: Scale) -> anyhow::Result<Table> {
    let mut table = Table::default();
    let mut installed = Vec::new();
    for contender in Contender::all(folder)? {
        match contender.missing() {
            Some(file) => {
                let reason = format!("{file} is missing, `./dev bench --peers` installs it");
                output::print_progress(format_args!("{}: not measured: {reason}", contender.name));
                table.add_failed(contender.name, reason);
            }
            None => installed.push(contender),
        }
    }
    for contender in &installed {
        output::print_progress(format_args!("{} …", contender.name));
        match contest::measure_rates(environment, contender, scale).await {
            Ok(rates) => table.add_rates(contender.name, &rates),
            Err(error) => {
                output::print_progress(format_args!("{}: not measured: {error:#}", contender.name));
                table.add_failed(contender.name, format!("{error:#}"));
            }
        }
    }
    output::print_progress("killing a worker of each …");
    let mut recoveries = JoinSet::new();
    let untuned = installed.into_iter().filter(|contender| !contender.tuned);
    for (contender, database) in untuned.zip(DATABASE + 1..) {
        let (redis, dir) = (environment.redis_url(database), environment.dir().to_owned());
        recoveries.spawn(async move {
            let recovery = contest::measure_recovery(redis, &contender, &dir).await;
            (contender.name, recovery)
        });
    }
    // All at the same time, because they mostly wait.
    while let Some(recovered) = recoveries.join_next().await {
        match recovered? {
            (name, Ok(recovery)) => table.set_recovery(name, recovery),
            (name, Err(error)) => {
                output::print_progress(format_args!("{name}: recovery not measured: {error:#}"));
            }
        }
    }
    Ok(table)
}
