//! Settings of the budgets in Redis: written at start, and again after Redis has lost them.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use domain::InstallationId;
use queue::{InstallationBudget, PoolPlace, Queue, QueueError};
use tokio::time::sleep;

use crate::Installation;

/// Interval at which a process checks whether Redis has lost its data.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// Life of the mark that all settings are in Redis. Whichever process finds it missing writes those that are.
pub(crate) const MARK_TTL: Duration = Duration::from_mins(10);

/// Writes the settings of these installations now, and keeps them in Redis while the process lives. Must be called
/// within a tokio runtime.
pub(crate) fn keep_published(queue: &Queue, installations: &[Installation]) {
    let budgets = budgets(installations);
    if !budgets.is_empty() {
        tokio::spawn(publish(queue.clone(), budgets));
    }
}

fn budgets(installations: &[Installation]) -> Vec<InstallationBudget> {
    let mut further: BTreeMap<&InstallationId, Vec<InstallationId>> = BTreeMap::new();
    for one in installations {
        if let Some(pool) = &one.pool {
            further.entry(pool).or_default().push(one.id.clone());
        }
    }
    let budget = |one: &Installation| InstallationBudget {
        installation: one.id.clone(),
        settings: one.budget.clone(),
        place: match &one.pool {
            Some(pool) => PoolPlace::Further(pool.clone()),
            None => PoolPlace::First(further.get(&one.id).cloned().unwrap_or_default()),
        },
    };
    installations.iter().map(budget).collect()
}

async fn publish(queue: Queue, budgets: Vec<InstallationBudget>) {
    let names: Vec<_> = budgets.iter().map(|one| (one.installation.as_str(), one.place.clone())).collect();
    let mark = mark("settings", &names);
    let mut written = false;
    loop {
        match publish_once(&queue, &budgets, &mark, written).await {
            Ok(()) => written = true,
            Err(error) => tracing::debug!(%error, "Settings of the budgets could not be written"),
        }
        sleep(CHECK_INTERVAL).await;
    }
}

async fn publish_once(
    queue: &Queue,
    budgets: &[InstallationBudget],
    mark: &str,
    written: bool,
) -> Result<(), QueueError> {
    if written && queue.shared_get(mark).await?.is_some() {
        return Ok(());
    }
    queue.write_budgets(budgets, written).await?;
    queue.shared_put(mark, b"1", MARK_TTL).await
}

/// Returns the name of the mark of everything that processes with the same installations do once.
pub(crate) fn mark(kind: &str, of: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    format!("{kind}:{:016x}", hasher.finish())
}
