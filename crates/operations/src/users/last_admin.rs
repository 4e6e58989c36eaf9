//! The rule that an active admin who has signed in stays.

use domain::{Problem, ProblemCode, User};
use store::Tx;

use crate::{OperationError, Operations, Result};

impl Operations<'_> {
    /// Returns whether the user is the last active admin who has signed in, so that they stay one.
    ///
    /// # Errors
    /// Database errors.
    pub async fn is_last_admin(&self, user: &User) -> Result<bool> {
        let mut tx = self.store.begin().await?;
        let without = User { is_active: false, ..user.clone() };
        match check_last_admin(&mut tx, user, &without).await {
            Ok(()) => Ok(false),
            Err(OperationError::Refused(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// Refuses a change after which no active admin is left who has signed in before. Concurrent changes of this kind wait
/// for each other here.
pub(super) async fn check_last_admin(tx: &mut Tx, before: &User, after: &User) -> Result<()> {
    let administers = |user: &User| user.is_admin && user.is_active;
    let unbound = before.subject.is_some() && after.subject.is_none();
    if !administers(before) || (administers(after) && !unbound) {
        return Ok(());
    }
    let others = tx.users().count_other_admins(before.id).await?;
    if others.bound > 0 || (before.subject.is_none() && others.all > 0) {
        return Ok(());
    }
    let detail = "This is the last active admin who has signed in; make another user an admin first.";
    Err(Problem::new(ProblemCode::LastAdmin, detail).into())
}
