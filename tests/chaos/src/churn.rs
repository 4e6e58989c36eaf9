//! Unmanaged runners of the organisation, in several pages that change while they are read.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use github_twin::{Commands, RunnerChange, RunnerSpec};
use tokio::{task::JoinHandle, time::interval};

/// Constant number of unmanaged runners: with the managed ones, four pages.
const RUNNERS: usize = 260;
/// Time between two replacements: three changes a second.
const REPLACEMENT_INTERVAL: Duration = Duration::from_millis(666);
/// Prefix of their names.
const PREFIX: &str = "unmanaged-";

/// Returns whether a runner on GitHub is one of these.
pub(crate) fn is_unmanaged(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The runners, replaced one by one until dropped.
pub(crate) struct Churn {
    kept: Arc<Mutex<VecDeque<(u64, String)>>>,
    task: JoinHandle<()>,
}

impl Churn {
    pub(crate) fn start(commands: Commands) -> anyhow::Result<Self> {
        let kept = (0..RUNNERS).map(|nth| add(&commands, nth)).collect::<anyhow::Result<VecDeque<_>>>()?;
        let kept = Arc::new(Mutex::new(kept));
        let task = tokio::spawn(replace(commands, kept.clone()));
        Ok(Self { kept, task })
    }

    /// Stops the changes and returns the names that must stay on GitHub from now on.
    pub(crate) fn end(&self) -> BTreeSet<String> {
        self.task.abort();
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|(_, name)| name.clone()).collect()
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn replace(commands: Commands, kept: Arc<Mutex<VecDeque<(u64, String)>>>) {
    let mut ticks = interval(REPLACEMENT_INTERVAL);
    for nth in RUNNERS.. {
        ticks.tick().await;
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(new) = add(&commands, nth) else { continue };
        kept.push_back(new);
        if let Some((id, _)) = kept.pop_front() {
            // Removed already; the oracle reports it.
            let _ = commands.remove_runner(id);
        }
    }
}

fn add(commands: &Commands, nth: usize) -> anyhow::Result<(u64, String)> {
    let name = format!("{PREFIX}{nth}");
    let labels = vec!["self-hosted".to_owned()];
    let state = RunnerChange::online();
    let spec = RunnerSpec { name: name.clone(), scope: None, labels, ephemeral: false, state };
    let made = commands.create_runner(spec).ok().context("the twin makes no runner")?;
    Ok((made.id, name))
}
