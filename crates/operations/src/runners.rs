//! Operations on runners: provision, explanation, removal and check.

mod explain;
mod explained_caller;
mod place;
mod provision;
mod repeated;
mod rows;
mod runner_job;
mod stale;

use domain::{Caller, Problem, Runner, RunnerId};
use store::{StoreError, Visible};

pub use explain::{Explanation, JobRule, Question};
pub use explained_caller::ExplainedCaller;
pub(crate) use explained_caller::caller_of_requester;
pub(crate) use place::check_quota;
pub use provision::{ProvisionCommand, ProvisionRules, Registration};
pub(crate) use rows::RequestRows;
pub use runner_job::RunnerJobRequest;
pub use stale::OrderedRemovals;

use crate::{Operations, Result};

impl Operations<'_> {
    /// Returns the runner, if the caller may see it.
    ///
    /// # Errors
    /// `not_found`; database errors; `Inconsistent` if this version cannot read the runner.
    pub async fn visible_runner(&self, caller: &Caller, id: RunnerId) -> Result<Runner> {
        let runner = self.find_runner(caller, id).await?;
        let seen = runner.filter(|runner| caller.may_see(Some(runner.team), Some(runner.provisioned_by)));
        Ok(seen.ok_or_else(|| Problem::not_found("runner"))?)
    }

    /// Returns the runner, if it exists, whether or not the caller may see it. A runner that this version cannot read
    /// does not exist for a caller who may not see it.
    async fn find_runner(&self, caller: &Caller, id: RunnerId) -> Result<Option<Runner>> {
        let mut conn = self.store.conn().await?;
        let runner = conn.runners().get(id).await;
        let hidden = matches!(runner, Err(StoreError::Inconsistent(_)))
            && !conn.runners().is_visible(id, &Visible::to(caller)).await?;
        if hidden { Ok(None) } else { Ok(runner?) }
    }
}
