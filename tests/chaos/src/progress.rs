//! Progress messages during a run.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{cooldown, environment::Environment, faults::FaultInjector, load::Load, plan::Plan};

/// Time between two messages.
const INTERVAL: Duration = Duration::from_secs(15);

/// Sends messages until dropped; does nothing without a receiver.
pub(crate) struct Progress(Option<JoinHandle<()>>);

impl Progress {
    pub(crate) fn start(
        environment: &Arc<Environment>,
        injector: &Arc<FaultInjector>,
        load: &Arc<Load>,
        plan: &Plan,
    ) -> Self {
        let (environment, injector, load) = (environment.clone(), injector.clone(), load.clone());
        Self(plan.progress.map(|tell| {
            tokio::spawn(async move {
                loop {
                    sleep(INTERVAL).await;
                    let at = environment.log.elapsed().as_secs();
                    let (operations, faults) = (load.client.responses.operations(), injector.count());
                    // PostgreSQL may be down.
                    let left = timeout(Duration::from_secs(2), cooldown::left(&environment)).await;
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
