//! One look at one runner of ours on GitHub, by its id alone, and one way to remove it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use chrono::{DateTime, Utc};
use domain::{InstallationId, REGISTRATION_GRACE, Runner, RunnerStatus, SeenLabel, SeenRunner};
use github::{Deletion, GitHub, GitHubError};

use crate::app::App;

/// What was found.
pub(super) enum RunnerState {
    /// It is there.
    There(SeenRunner),
    /// It is not, on proof.
    Gone,
    /// GitHub does not know it, but it was registered only just now.
    NotYetKnown,
}

/// The last confirmations of 404s, by installation.
#[derive(Debug, Default)]
pub(crate) struct Confirmations(Mutex<HashMap<InstallationId, Arc<Confirmation>>>);

/// When the last successful listing began. Whoever holds the lock lists, and the others wait for the outcome.
type Confirmation = tokio::sync::Mutex<Option<Instant>>;

impl Confirmations {
    /// Lists one runner, unless a listing that began after `since` has succeeded: many checks that find their runners gone
    /// at the same time share one request.
    async fn confirm(
        &self,
        installation: &InstallationId,
        github: &GitHub,
        since: Instant,
    ) -> Result<(), GitHubError> {
        let confirmation = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(installation.clone()).or_default())
        };
        let mut last = confirmation.lock().await;
        if last.is_some_and(|begun| begun >= since) {
            return Ok(());
        }
        let begun = Instant::now();
        github.list_runners(1, 1, None).await?;
        *last = Some(begun);
        Ok(())
    }
}

/// Looks. A 404 counts only when the same credential may list the runners of the same scope afterwards: GitHub also
/// answers 404 about what we may not see.
pub(super) async fn fetch(
    app: &App,
    github: &GitHub,
    runner: &Runner,
    now: DateTime<Utc>,
) -> Result<RunnerState, GitHubError> {
    let Some(id) = runner.github_runner_id else { return Ok(RunnerState::NotYetKnown) };
    if let Some(found) = github.get_runner(id).await? {
        return Ok(RunnerState::There(seen(found)));
    }
    let answered = Instant::now();
    let fresh = runner.registered_at.is_none_or(|at| now - at < REGISTRATION_GRACE);
    if runner.status == RunnerStatus::Pending && fresh {
        return Ok(RunnerState::NotYetKnown);
    }
    app.confirmations().confirm(&runner.installation, github, answered).await?;
    Ok(RunnerState::Gone)
}

/// GitHub's words in ours.
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

/// True: it is gone. False: it is busy.
pub(super) async fn remove(github: &GitHub, id: i64) -> Result<bool, GitHubError> {
    Ok(match github.delete_runner(id).await? {
        Deletion::Deleted | Deletion::Gone => true,
        Deletion::Busy => false,
    })
}
