//! One look at one runner of ours on GitHub, by its id alone, and one way to remove it.

use chrono::{DateTime, Utc};
use domain::{Runner, RunnerStatus, SETTLING, SeenLabel, SeenRunner};
use github::{Deletion, GitHub, GitHubError};

/// What was found.
pub(super) enum Look {
    /// It is there.
    There(SeenRunner),
    /// It is not, on proof.
    Gone,
    /// GitHub does not know it, but it was registered only just now.
    Unsettled,
}

/// Looks. A 404 counts only when the same credential may list the runners of the same scope: GitHub also answers 404
/// about what we may not see.
pub(super) async fn at(github: &GitHub, runner: &Runner, now: DateTime<Utc>) -> Result<Look, GitHubError> {
    let Some(id) = runner.github_runner_id else { return Ok(Look::Unsettled) };
    if let Some(found) = github.get_runner(id).await? {
        return Ok(Look::There(seen(found)));
    }
    let fresh = runner.registered_at.is_none_or(|at| now - at < SETTLING);
    if runner.status == RunnerStatus::Pending && fresh {
        return Ok(Look::Unsettled);
    }
    github.list_runners(1, 1, None).await?;
    Ok(Look::Gone)
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
