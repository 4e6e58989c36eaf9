//! Lookup of one of our runners on GitHub by its id, and removal by id.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use chrono::{DateTime, Utc};
use domain::{InstallationId, REGISTRATION_GRACE, Runner, RunnerStatus, SeenLabel, SeenRunner};
use github::{Deletion, GitHub, GitHubError};
use installations::JobClient;

use crate::app::App;

/// State of a runner on GitHub.
pub(super) enum RunnerState {
    /// GitHub lists the runner.
    Found(SeenRunner),
    /// GitHub has removed the runner, on proof.
    Gone,
    /// GitHub does not know the runner, but it was registered moments ago.
    NotYetKnown,
}

/// Last confirmations of 404 responses, by installation: each App of a pool has a credential of its own.
#[derive(Debug, Default)]
pub(crate) struct Confirmations(Mutex<HashMap<InstallationId, Arc<Confirmation>>>);

/// Start time of the last successful listing. The task that holds the lock lists; other tasks wait for its result.
type Confirmation = tokio::sync::Mutex<Option<Instant>>;

impl Confirmations {
    /// Lists one runner, unless a listing that began after `since` has succeeded. Checks that find their runners gone
    /// at the same time share one request.
    async fn confirm(&self, client: &JobClient, since: Instant) -> Result<(), GitHubError> {
        let confirmation = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(client.app.clone()).or_default())
        };
        let mut last = confirmation.lock().await;
        if last.is_some_and(|begun| begun >= since) {
            return Ok(());
        }
        let begun = Instant::now();
        client.github.list_runners(1, 1, None).await?;
        *last = Some(begun);
        Ok(())
    }
}

/// Fetches the state of a runner. A 404 counts only if the same credential can list the runners of the same scope
/// afterwards: GitHub also responds 404 for what the credential may not see.
pub(super) async fn fetch(
    app: &App,
    client: &JobClient,
    runner: &Runner,
    now: DateTime<Utc>,
) -> Result<RunnerState, GitHubError> {
    let Some(id) = runner.github_runner_id else { return Ok(RunnerState::NotYetKnown) };
    if let Some(found) = client.github.get_runner(id).await? {
        return Ok(RunnerState::Found(seen(found)));
    }
    let answered = Instant::now();
    let fresh = runner.registered_at.is_none_or(|at| now - at < REGISTRATION_GRACE);
    if runner.status == RunnerStatus::Pending && fresh {
        return Ok(RunnerState::NotYetKnown);
    }
    app.confirmations().confirm(client, answered).await?;
    Ok(RunnerState::Gone)
}

/// Converts GitHub's runner into the domain's.
fn seen(runner: github::Runner) -> SeenRunner {
    SeenRunner {
        github_id: runner.id,
        name: runner.name,
        online: runner.status.eq_ignore_ascii_case("online"),
        busy: runner.busy,
        runner_group_id: runner.runner_group_id,
        labels: runner
            .labels
            .into_iter()
            .map(|label| SeenLabel { name: label.name, read_only: label.read_only, custom: label.custom })
            .collect(),
    }
}

/// Removes a runner. Returns true if it is gone, false if it is busy.
pub(super) async fn remove(github: &GitHub, id: i64) -> Result<bool, GitHubError> {
    Ok(match github.delete_runner(id).await? {
        Deletion::Deleted | Deletion::Gone => true,
        Deletion::Busy => false,
    })
}
