//! Place of a new runner: in its team's quota, and under its name.

use domain::{FieldError, Problem, ProblemCode, Team};
use store::{StoreError, Tx};

use crate::{OperationError, Result};

/// Counts the team's runners if it has a quota. Concurrent counts wait for the lock.
///
/// # Errors
/// `quota_exceeded`; database errors.
pub(crate) async fn check_quota(tx: &mut Tx, team: &Team) -> Result<()> {
    if team.max_runners.is_some() {
        tx.teams().lock_quota(team.id).await?;
        team.check_quota(tx.runners().count_live(team.id).await?).pass()?;
    }
    Ok(())
}

/// Returns the error of the insertion of a runner: `runner_name_conflict` if its name is taken.
pub(crate) fn name_taken(error: StoreError) -> OperationError {
    if error.constraint() == Some("runners_name_key") {
        return Problem::new(
            ProblemCode::RunnerNameConflict,
            "Another runner has this name; choose a different name, or a prefix instead.",
        )
        .with_errors(vec![FieldError::new("/runner_name", "taken")])
        .into();
    }
    error.into()
}
