//! Calls for workflow runs.

use crate::{call::Call, client::GitHub, error::GitHubError, path::segment};

/// Result of a cancellation request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancellation {
    /// 202: GitHub will cancel it.
    Accepted,
    /// 409: it cannot be cancelled now.
    NotCancellable,
}

impl GitHub {
    /// Asks GitHub to cancel a workflow run. Needs `actions: write`.
    pub async fn cancel_workflow_run(
        &self,
        owner: &str,
        repo: &str,
        run_id: i64,
    ) -> Result<Cancellation, GitHubError> {
        let path = format!("/repos/{}/{}/actions/runs/{run_id}/cancel", segment(owner)?, segment(repo)?);
        match self.call(&Call::post("cancel_workflow_run", path)).await {
            Ok(_) => Ok(Cancellation::Accepted),
            Err(GitHubError::Conflict { .. }) => Ok(Cancellation::NotCancellable),
            Err(error) => Err(error),
        }
    }
}
