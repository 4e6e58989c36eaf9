//! Consents: what a plan does only if it is asked for.

use std::collections::{HashMap, HashSet};

use domain::{FieldError, Problem, ProblemCode, UserId};
use store::{AdminRow, Tx};

use super::{
    plan::Consent,
    state::{ChangedPerson, Changes, State},
};
use crate::Result;

/// Largest share of the active people that may lose access without consent, in percent.
const MAX_LOSS_PERCENT: i64 = 20;

/// Returns the consents that the changes need.
///
/// # Errors
/// `last_admin` if no active admin would be left who has signed in. No consent allows that.
pub(super) async fn check(tx: &mut Tx, state: &State, changes: &Changes) -> Result<Vec<Consent>> {
    let mut needs = Vec::new();
    let lost: Vec<&ChangedPerson> = changes.people.iter().filter(|person| person.loses_admin()).collect();
    if !lost.is_empty() {
        check_last_admin(&tx.batches().admins().await?, changes)?;
        needs.push(Consent::RemoveAdmin);
    }
    let losing = count_losing(state, changes);
    if losing * 100 > tx.batches().count_active_people().await? * MAX_LOSS_PERCENT {
        needs.push(Consent::Many);
    }
    Ok(needs)
}

/// Counts the active people who lose their access or a team.
fn count_losing(state: &State, changes: &Changes) -> i64 {
    let deactivated = changes.people.iter().filter(|person| person.ends()).map(|person| person.after.id);
    let teams: HashSet<_> = changes.teams.iter().filter(|team| team.ends).map(|team| team.id).collect();
    let removed = changes.ended.iter().map(|ended| ended.user);
    let orphaned =
        state.members.iter().filter(|member| teams.contains(&member.team)).map(|member| member.user);
    let losing: HashSet<UserId> = deactivated.chain(removed).chain(orphaned).collect();
    i64::try_from(losing.len()).unwrap_or(i64::MAX / 100)
}

/// Checks that an active admin is left. An invited one counts only if no admin who has signed in is lost.
fn check_last_admin(stored: &[AdminRow], changes: &Changes) -> std::result::Result<(), Problem> {
    let by_user: HashMap<UserId, &ChangedPerson> =
        changes.people.iter().map(|person| (person.after.id, person)).collect();
    let stays = |admin: &&AdminRow| by_user.get(&admin.user).is_none_or(|person| person.administers());
    let left: Vec<&AdminRow> = stored.iter().filter(stays).collect();
    let bound_are_lost = stored.iter().any(|admin| admin.is_bound && !stays(&admin));
    if left.iter().any(|admin| admin.is_bound) || (!bound_are_lost && !left.is_empty()) {
        return Ok(());
    }
    let detail =
        "The plan removes the last active admin who has signed in; make another user an admin first.";
    Err(Problem::new(ProblemCode::LastAdmin, detail))
}

impl ChangedPerson {
    fn administers(&self) -> bool {
        self.after.is_admin && self.after.is_active
    }

    fn loses_admin(&self) -> bool {
        let before = self.before.as_ref().is_some_and(|before| before.is_admin && before.is_active);
        before && !self.administers()
    }

    fn ends(&self) -> bool {
        self.before.as_ref().is_some_and(|before| before.is_active) && !self.after.is_active
    }
}

/// Returns the consent as an error of a request that lacks it.
pub(super) fn explain(needed: Consent) -> FieldError {
    match needed {
        Consent::RemoveAdmin => {
            FieldError::new("/allow/remove_admin", "an admin loses the role or the access; send true")
        }
        Consent::Many => FieldError::new(
            "/allow/many",
            format!("more than {MAX_LOSS_PERCENT} % of the people lose their access or a team; send true"),
        ),
    }
}
