//! Incidents as the API shows them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{IncidentItemState, IncidentKind, IncidentState};
use operations::IncidentReport;
use serde::Serialize;
use store::{IncidentItem, IncidentRow, IncidentScope, IncidentTarget, NewIncidentItem, ScopedRunner};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::openapi;

/// Most changes and most busy runners in one answer.
const MAX_SHOWN: usize = 1000;

/// An incident without its changes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IncidentSummary {
    /// Id of the incident.
    pub(crate) id: Uuid,
    /// Kind of the target.
    #[schema(schema_with = openapi::incident_kind)]
    pub(crate) target: IncidentKind,
    /// Id of the team, person or machine client; null for an issuer.
    pub(crate) target_id: Option<Uuid>,
    /// Name of the target.
    pub(crate) name: String,
    /// Reason.
    pub(crate) reason: String,
    /// State.
    #[schema(schema_with = openapi::incident_state)]
    pub(crate) state: IncidentState,
    /// Time of the beginning.
    pub(crate) created_at: DateTime<Utc>,
    /// Time at which all access had ended.
    pub(crate) revoked_at: Option<DateTime<Utc>>,
    /// Time at which all access was restored.
    pub(crate) undone_at: Option<DateTime<Utc>>,
    /// Identity of the admin who undid it.
    pub(crate) undone_by: Option<String>,
}

/// The newest incidents.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IncidentList {
    /// Newest first.
    pub(crate) incidents: Vec<IncidentSummary>,
}

/// The report of an incident.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Incident)]
pub(crate) struct IncidentView {
    #[serde(flatten)]
    pub(crate) summary: IncidentSummary,
    /// Number of changes by outcome.
    pub(crate) counts: BTreeMap<&'static str, i64>,
    /// Changes, in order, at most 1,000.
    pub(crate) changes: Vec<ChangeView>,
    /// What the target still has now.
    pub(crate) left: ScopeView,
    /// Runners that run a workflow job, at most 1,000. They are not removed.
    pub(crate) busy_runners: Vec<BusyRunner>,
}

/// What an incident would end.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IncidentPreview {
    /// Always true.
    pub(crate) dry_run: bool,
    /// Kind of the target.
    #[schema(schema_with = openapi::incident_kind)]
    pub(crate) target: IncidentKind,
    /// Name of the target.
    pub(crate) name: String,
    /// Number of changes.
    pub(crate) total: usize,
    /// Changes, in order, at most 1,000.
    pub(crate) changes: Vec<ChangeView>,
    /// What the target has now.
    pub(crate) now: ScopeView,
    /// Runners that run a workflow job, at most 1,000. They would not be removed.
    pub(crate) busy_runners: Vec<BusyRunner>,
}

/// One change of an incident.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeView {
    /// What ends: `team`, `user`, `client`, `requests_of_user`, `requests_of_client` or `runner`.
    pub(crate) kind: &'static str,
    /// Id of the subject.
    pub(crate) id: Uuid,
    /// Name of the subject.
    pub(crate) name: String,
    /// Outcome: `waiting`, `done`, `unchanged`, `failed` or `undone`.
    pub(crate) status: &'static str,
    /// Explanation of the outcome.
    pub(crate) detail: Option<String>,
    /// The job that removes a runner.
    pub(crate) job_id: Option<Uuid>,
}

/// Open requests, configs and runners of a target.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScopeView {
    /// Number of open requests for runners.
    pub(crate) open_jobs: i64,
    /// Number of configs that are not shredded.
    pub(crate) configs: i64,
    /// Number of runners that run no workflow job.
    pub(crate) idle_runners: i64,
    /// Number of runners that run a workflow job.
    pub(crate) busy_runners: i64,
}

/// A runner that runs a workflow job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BusyRunner {
    /// Id of the runner.
    pub(crate) runner_id: Uuid,
    /// Its name.
    pub(crate) runner_name: String,
    /// Name of its team.
    pub(crate) team: String,
}

impl From<IncidentRow> for IncidentSummary {
    fn from(row: IncidentRow) -> Self {
        Self {
            id: row.id,
            target: row.target.kind,
            target_id: row.target.id,
            name: row.target.name,
            reason: row.reason,
            state: row.state,
            created_at: row.created_at,
            revoked_at: row.revoked_at,
            undone_at: row.undone_at,
            undone_by: row.undone_by,
        }
    }
}

impl From<IncidentReport> for IncidentView {
    fn from(report: IncidentReport) -> Self {
        Self {
            summary: report.incident.into(),
            counts: report.counts.into_iter().map(|(state, count)| (state.as_str(), count)).collect(),
            changes: report.items.into_iter().map(ChangeView::from).collect(),
            left: report.left.into(),
            busy_runners: busy(report.busy),
        }
    }
}

impl IncidentView {
    pub(crate) const fn id(&self) -> Uuid {
        self.summary.id
    }

    /// Returns whether no change waits.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.summary.state, IncidentState::Active | IncidentState::Undone)
    }
}

impl IncidentPreview {
    pub(crate) fn new(
        target: &IncidentTarget,
        items: Vec<NewIncidentItem>,
        scope: IncidentScope,
        busy_runners: Vec<ScopedRunner>,
    ) -> Self {
        let total = items.iter().filter(|item| item.state == IncidentItemState::Waiting).count();
        let change = |item: NewIncidentItem| ChangeView {
            kind: item.kind.as_str(),
            id: item.subject,
            name: item.name,
            status: item.state.as_str(),
            detail: None,
            job_id: None,
        };
        Self {
            dry_run: true,
            target: target.kind,
            name: target.name.clone(),
            total,
            changes: items.into_iter().take(MAX_SHOWN).map(change).collect(),
            now: scope.into(),
            busy_runners: busy(busy_runners),
        }
    }
}

impl From<IncidentItem> for ChangeView {
    fn from(item: IncidentItem) -> Self {
        Self {
            kind: item.kind.as_str(),
            id: item.subject,
            name: item.name,
            status: item.state.as_str(),
            detail: item.detail,
            job_id: item.job.map(Uuid::from),
        }
    }
}

impl From<IncidentScope> for ScopeView {
    fn from(scope: IncidentScope) -> Self {
        let IncidentScope { open_jobs, configs, idle_runners, busy_runners } = scope;
        Self { open_jobs, configs, idle_runners, busy_runners }
    }
}

fn busy(runners: Vec<ScopedRunner>) -> Vec<BusyRunner> {
    let view = |runner: ScopedRunner| BusyRunner {
        runner_id: runner.id,
        runner_name: runner.name,
        team: runner.team,
    };
    runners.into_iter().take(MAX_SHOWN).map(view).collect()
}
