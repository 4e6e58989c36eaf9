//! Selectors of batches. An empty selector is refused: only `all` means all.

use domain::{BatchAction, FieldError, InstallationId, Problem, RunnerStatus, TeamId};
use serde_json::{Value, json};
use store::{BatchSubject, FailureSelection, RunnerSelection, Search, TeamSelection, Tx};
use uuid::Uuid;

use super::{BatchRequest, MAX_ITEMS};
use crate::{
    Result,
    record::extend,
    validate::{MAX_REASON, check_optional, check_text},
};

/// Most ids of one selector.
const MAX_IDS: usize = 1000;
/// Longest text of a search, in characters.
const MAX_SEARCH: usize = 100;
/// Longest code of a problem, in characters.
const MAX_CODE: usize = 100;
/// Longest explanation of a cause, in characters; the list of failures cuts it there.
const MAX_DETAIL: usize = 300;

/// The items of a batch: ids, a filter, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchSelector {
    /// People, teams, runners or jobs by id.
    pub ids: Option<Vec<Uuid>>,
    /// Failed jobs of this cause.
    pub failures: Option<FailureSelection>,
    /// People, runners or failed jobs of this team.
    pub team: Option<TeamId>,
    /// Teams with this text in name or description, in any case.
    pub search: Option<String>,
    /// Teams of this installation.
    pub installation: Option<InstallationId>,
    /// Runners of this person or machine client.
    pub identity: Option<String>,
    /// Runners in this state.
    pub status: Option<RunnerStatus>,
    /// All that the change could concern.
    pub all: bool,
    /// People who are admins stay as they are.
    pub spare_admins: bool,
    /// Reason that members of deactivated teams see. Without it, the comment.
    pub reason: Option<String>,
}

impl BatchSelector {
    /// Adds the errors of the selector. `ids` are named as the action's body names them.
    pub(super) fn check(&self, action: BatchAction, errors: &mut Vec<FieldError>) {
        let ids = id_field(action);
        let filtered = self.failures.is_some()
            || self.team.is_some()
            || self.identity.is_some()
            || self.status.is_some()
            || self.search.is_some()
            || self.installation.is_some();
        let given = [self.ids.is_some(), filtered, self.all].into_iter().filter(|given| *given).count();
        match &self.ids {
            Some(list) if list.is_empty() => errors.push(FieldError::new(ids, "name at least one")),
            Some(list) if list.len() > MAX_IDS => {
                errors.push(FieldError::new(ids, format!("at most {MAX_IDS}; start several batches")));
            }
            _ => {}
        }
        check_optional(errors, "/q", self.search.as_deref(), MAX_SEARCH);
        check_optional(errors, "/reason", self.reason.as_deref(), MAX_REASON);
        if let Some(failures) = &self.failures {
            check_text(errors, "/code", &failures.code, MAX_CODE);
            let detail = failures.detail.as_deref().unwrap_or_default();
            // PostgreSQL takes no NUL.
            if detail.chars().count() > MAX_DETAIL || detail.contains('\0') {
                errors.push(FieldError::new("/detail", format!("at most {MAX_DETAIL} characters")));
            }
        }
        if given == 0 {
            let detail = format!("name {}, a filter, or `\"all\": true`", ids.trim_start_matches('/'));
            errors.push(FieldError::new(ids, detail));
        } else if given > 1 {
            errors.push(FieldError::new(ids, "ids, a filter and `all` exclude each other"));
        }
    }

    /// Returns the selector for the audit log.
    pub(super) fn describe(&self) -> Value {
        let Self { ids, failures, team, search, installation, identity, status, all, spare_admins, reason } =
            self;
        let mut described = json!({ "ids": ids, "team": team, "q": search, "installation": installation,
            "user_identity": identity, "status": status, "all": all, "exclude_admins": spare_admins, "reason": reason });
        if let Some(FailureSelection { code, detail, since }) = failures {
            extend(&mut described, json!({ "code": code, "detail": detail, "since": since }));
        }
        described
    }
}

/// Returns where a body has the ids.
const fn id_field(action: BatchAction) -> &'static str {
    match action {
        BatchAction::DisableUsers | BatchAction::RestoreUsers => "/user_ids",
        BatchAction::DeleteRunners => "/runner_ids",
        BatchAction::DeactivateTeams | BatchAction::ReactivateTeams => "/team_ids",
        BatchAction::RetryJobs | BatchAction::DiscardJobs => "/job_ids",
    }
}

/// Returns the selected items, by id.
///
/// # Errors
/// `validation_failed` for an id of nothing, and for more items than a batch may have.
pub(super) async fn select(tx: &mut Tx, request: &BatchRequest) -> Result<Vec<BatchSubject>> {
    let BatchSelector { ids, failures, team, search, installation, identity, status, .. } = &request.selector;
    let limit = i64::try_from(MAX_ITEMS).unwrap_or(i64::MAX).saturating_add(1);
    let ids = ids.as_deref();
    let teams = |is_active| TeamSelection {
        ids: ids.map(<[Uuid]>::to_vec),
        search: Search::anywhere(search.as_deref()),
        installation: installation.clone(),
        is_active,
    };
    let mut batches = tx.batch_runs();
    let found = match request.action {
        BatchAction::DisableUsers => batches.select_users(ids, *team, true, limit).await?,
        BatchAction::RestoreUsers => batches.select_users(ids, *team, false, limit).await?,
        BatchAction::DeactivateTeams => batches.select_teams(&teams(true), limit).await?,
        BatchAction::ReactivateTeams => batches.select_teams(&teams(false), limit).await?,
        BatchAction::DeleteRunners => {
            let which = RunnerSelection {
                ids: ids.map(<[Uuid]>::to_vec),
                identity: identity.clone(),
                team: *team,
                status: *status,
            };
            batches.select_runners(&which, limit).await?
        }
        BatchAction::RetryJobs | BatchAction::DiscardJobs => match (ids, failures) {
            (None, Some(failures)) => batches.select_failures(failures, *team, limit).await?,
            (ids, _) => batches.select_jobs(ids.unwrap_or_default()).await?,
        },
    };
    if found.len() > MAX_ITEMS {
        let detail = format!("more than {MAX_ITEMS} match; narrow the filter");
        return Err(Problem::field(id_field(request.action), detail).into());
    }
    let unknown: Vec<FieldError> = ids
        .unwrap_or_default()
        .iter()
        .enumerate()
        .filter(|(_, id)| found.binary_search_by_key(*id, |subject| subject.id).is_err())
        .map(|(nth, id)| {
            FieldError::new(format!("{}/{nth}", id_field(request.action)), format!("no {id} exists"))
        })
        .collect();
    if unknown.is_empty() { Ok(found) } else { Err(Problem::invalid(unknown).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(selector: &BatchSelector) -> Vec<String> {
        let mut errors = Vec::new();
        selector.check(BatchAction::DisableUsers, &mut errors);
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn empty_selectors_never_mean_all() {
        assert_eq!(errors(&BatchSelector::default()), ["/user_ids"]);
        let none = BatchSelector { ids: Some(Vec::new()), ..BatchSelector::default() };
        assert_eq!(errors(&none), ["/user_ids"]);
        let all = BatchSelector { all: true, ..BatchSelector::default() };
        assert!(errors(&all).is_empty());
        let both = BatchSelector { ids: Some(vec![Uuid::nil()]), ..all };
        assert_eq!(errors(&both), ["/user_ids"]);
    }
}
