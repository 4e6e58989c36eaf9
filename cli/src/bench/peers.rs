//! Our queue beside others, each a process of its own on the same Redis. `tests/peers/README.md` has the protocol and
//! what each is set to.

mod contest;
mod ours;
mod process;
mod table;

use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{Scale, world::World};
use crate::output;
pub(super) use ours::be;
use process::Contender;
pub(super) use table::Table;

/// Where `./dev bench --peers` installs the others.
pub(super) const FOLDER: &str = "target/peers";
/// The database of Redis for what is measured one after the other; recoveries use those above it.
const DATABASE: u16 = 9;
/// As long as what our own queue keeps of a job.
const PAYLOAD: usize = 128;

/// What a process is asked to do.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Ask {
    r#do: Deed,
    redis: String,
    queue: String,
    jobs: u32,
    /// Jobs at once.
    width: usize,
    /// Seconds after which it tells how far it came.
    bound: f64,
    /// Set for speed rather than left as it comes.
    tuned: bool,
    payload: String,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Deed {
    /// Adds jobs, one a call, so many calls at once.
    Enqueue,
    /// Does that many jobs that do nothing.
    Work,
    /// Takes jobs and never ends them.
    Hold,
    /// Adds a job to an idle worker of its own, again and again.
    Pickup,
}

impl Ask {
    fn new(redis: String, contender: &Contender) -> Self {
        Self {
            r#do: Deed::Work,
            redis,
            queue: "beside".to_owned(),
            jobs: 0,
            width: 16,
            bound: 10.0,
            tuned: contender.tuned,
            payload: "x".repeat(PAYLOAD),
        }
    }
}

/// Measures all that are there. One that is not, or fails, has no figures; the others do not suffer.
pub(super) async fn measure(world: &World, folder: &Path, scale: Scale) -> anyhow::Result<Table> {
    let mut table = Table::default();
    let mut there = Vec::new();
    for contender in Contender::all(folder)? {
        match contender.missing() {
            Some(what) => {
                let why = format!("{what} is missing, `./dev bench --peers` installs it");
                output::note(format_args!("{}: not measured: {why}", contender.name));
                table.failed(contender.name, why);
            }
            None => there.push(contender),
        }
    }
    for contender in &there {
        output::note(format_args!("{} …", contender.name));
        match contest::rates(world, contender, scale).await {
            Ok(rates) => table.rates(contender.name, &rates),
            Err(error) => {
                output::note(format_args!("{}: not measured: {error:#}", contender.name));
                table.failed(contender.name, format!("{error:#}"));
            }
        }
    }
    output::note("killing a worker of each …");
    let mut recoveries = JoinSet::new();
    let plain = there.into_iter().filter(|contender| !contender.tuned);
    for (contender, database) in plain.zip(DATABASE + 1..) {
        let (redis, dir) = (world.redis_url(database), world.dir().to_owned());
        recoveries.spawn(async move {
            let recovery = contest::recovery(redis, &contender, &dir).await;
            (contender.name, recovery)
        });
    }
    // At the same time: they only wait.
    while let Some(recovered) = recoveries.join_next().await {
        match recovered? {
            (name, Ok(recovery)) => table.recovery(name, recovery),
            (name, Err(error)) => output::note(format_args!("{name}: recovery not measured: {error:#}")),
        }
    }
    Ok(table)
}
