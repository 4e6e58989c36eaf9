//! A line now and then while a run lasts.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{cooldown, environment::Environment, faults::Hand, load::Load, plan::Plan};

/// Between two lines.
const EVERY: Duration = Duration::from_secs(15);

/// Tells until dropped; nothing when nobody listens.
pub(crate) struct Progress(Option<JoinHandle<()>>);

impl Progress {
    pub(crate) fn start(
        (stage, hand, load): (&Arc<Environment>, &Arc<Hand>, &Arc<Load>),
        plan: &Plan,
    ) -> Self {
        let (stage, hand, load) = (stage.clone(), hand.clone(), load.clone());
        Self(plan.progress.map(|tell| {
            tokio::spawn(async move {
                loop {
                    sleep(EVERY).await;
                    let at = stage.log.elapsed().as_secs();
                    let (operations, faults) = (load.client.tally.count(), hand.count());
                    // Postgres may be away.
                    let left = timeout(Duration::from_secs(2), cooldown::left(&stage)).await;
                    let left = left.ok().and_then(Result::ok);
                    let left = left.map_or_else(|| "postgres is away".to_owned(), |left| left.to_string());
                    tell(&format!("{at:>5} s: {operations} operations, {faults} faults; {left}"));
                }
            })
        }))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
