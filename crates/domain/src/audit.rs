//! What is written down about what was done and tried.

use std::net::IpAddr;

use crate::{
    Caller, InstallationId, Job, JobId, Problem, ProblemCode, Requester, RunnerId, TeamId, lane::string_enum,
};

string_enum! {
    /// How grave a security event is.
    Severity {
        /// Worth a look some time.
        Low = "low",
        /// Worth a look today.
        Medium = "medium",
        /// Worth a look now.
        High = "high",
        /// Somebody must act.
        Critical = "critical",
    }
}

/// Where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Client address, trusted proxies taken into account.
    pub ip: Option<IpAddr>,
    /// User agent, shortened to 200 characters.
    pub user_agent: Option<String>,
    /// Request id, ours and unique.
    pub request_id: Option<String>,
    /// Request id the client chose; it may be anything, also another request's.
    pub client_request_id: Option<String>,
    /// W3C trace context.
    pub trace: Option<String>,
}

/// One row of the audit log. Its event types: `runner.provision`, `runner.register`, `token.issued`, `runner.registered`, `runner.deleted`, `stray.deleted`, `job.cancel`,
/// `runner.deprovision`, `runner.refresh`, `runner.labels_repaired`, `sync.trigger`, `job.failed`, `credential.fetch`, `team.create`, `team.update`, `team.deactivate`, `team.reactivate`, `member.add`, `member.remove`, `user.create`,
/// `user.bind`, `principal.unknown`, `principal.inactive`, `admin.denied`, `viewer.denied`, `user.update`, `user.deactivate`, `user.activate`, `user.unbind`, `client.create`, `client.update`, `client.delete`, `credential.shred`, `lane.pause`, `lane.resume`, `workflow.cancel`, `installation.changed`, and with `rts`: `admin.create`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditEntry {
    /// What, as `noun.verb`.
    pub event_type: &'static str,
    /// Who; none for the service itself.
    pub requester: Option<Requester>,
    /// The words that name them.
    pub identity: Option<String>,
    /// Which runner.
    pub runner: Option<RunnerId>,
    /// Its name.
    pub runner_name: Option<String>,
    /// Which team.
    pub team: Option<TeamId>,
    /// Which job.
    pub job: Option<JobId>,
    /// From where.
    pub origin: Origin,
    /// Details; never a secret.
    pub data: serde_json::Value,
    /// The claims that tell the runs of a machine client apart; written beside the details as `claims`.
    pub claims: Option<serde_json::Value>,
    /// Why it was refused or failed; none is success.
    pub error: Option<String>,
}

impl AuditEntry {
    /// An entry about something a caller did.
    pub fn by(caller: &Caller, origin: &Origin, event_type: &'static str) -> Self {
        Self {
            event_type,
            requester: Some(caller.requester),
            identity: Some(caller.identity.clone()),
            claims: caller.claims.clone(),
            origin: origin.clone(),
            ..Self::default()
        }
    }

    /// An entry about what came of a job.
    pub fn of_job(job: &Job, event_type: &'static str) -> Self {
        Self { requester: job.requester, ..Self::service(event_type).about_job(job) }
    }

    /// The entry with the job, its runner and its team.
    #[must_use]
    pub fn about_job(self, job: &Job) -> Self {
        Self {
            runner: job.runner,
            runner_name: job.runner_name.clone(),
            team: job.team,
            job: Some(job.id),
            ..self
        }
    }

    /// The entry and the event for an installation whose suspension GitHub told in an answer.
    pub fn installation_suspended(installation: &InstallationId, message: &str) -> (Self, SecurityEvent) {
        let data = serde_json::json!({ "installation": installation, "change": "suspend", "told_by": "answer",
            "message": message });
        let event = SecurityEvent {
            event_type: "installation_suspended",
            severity: Severity::Critical,
            action_taken: "paused",
        };
        (Self { data, ..Self::service("installation.changed") }, event)
    }

    /// The details with the claims and the request id the client chose, as they are stored; none if there are none.
    pub fn stored_data(&self) -> Option<serde_json::Value> {
        if self.claims.is_none() && self.origin.client_request_id.is_none() {
            return Some(self.data.clone()).filter(|data| !data.is_null());
        }
        let mut data = match &self.data {
            serde_json::Value::Object(data) => data.clone(),
            serde_json::Value::Null => serde_json::Map::new(),
            other => serde_json::Map::from_iter([("value".to_owned(), other.clone())]),
        };
        data.extend(self.claims.clone().map(|claims| ("claims".to_owned(), claims)));
        let id = self.origin.client_request_id.clone();
        data.extend(id.map(|id| ("client_request_id".to_owned(), id.into())));
        Some(data.into())
    }

    /// An entry about something the service did on its own.
    pub fn service(event_type: &'static str) -> Self {
        Self { event_type, ..Self::default() }
    }
}

string_enum! {
    /// What was done so far about a security event.
    ActionTaken {
        /// Nothing but writing it down.
        None = "none",
        /// The request was refused.
        Refused = "refused",
        /// The runner is to be removed, but is still there.
        RemovalRequested = "removal_requested",
        /// The runner was removed from GitHub.
        Removed = "removed",
        /// The labels were set back on GitHub.
        LabelsRestored = "labels_restored",
        /// The runner runs a workflow job and was left alone.
        LeftBusy = "left_busy",
        /// GitHub is being asked to cancel the workflow run.
        CancellationRequested = "cancellation_requested",
        /// The workflow run was cancelled.
        Cancelled = "cancelled",
        /// It was tried too often, or for too long.
        GaveUp = "gave_up",
        /// An admin must confirm it first.
        Held = "held",
        /// Jobs of the installation wait.
        Paused = "paused",
        /// Jobs of the installation go on.
        Resumed = "resumed",
    }
}

impl ActionTaken {
    /// What a person reads.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::None => "It was recorded; nothing else was done.",
            Self::Refused => "The request was refused.",
            Self::RemovalRequested => "The removal of the runner was ordered; it is still there.",
            Self::Removed => "The runner was removed from GitHub.",
            Self::LabelsRestored => "The labels were set back on GitHub.",
            Self::LeftBusy => "The runner runs a workflow job and was left alone.",
            Self::CancellationRequested => "GitHub is being asked to cancel the workflow run.",
            Self::Cancelled => "GitHub has accepted the cancellation of the workflow run.",
            Self::GaveUp => "All tries have failed; a person must act.",
            Self::Held => "Nothing was removed; an admin must confirm it.",
            Self::Paused => "The installation's jobs wait.",
            Self::Resumed => "The installation's jobs go on.",
        }
    }
}

/// One security event.
#[derive(Clone, Debug, PartialEq)]
pub struct SecurityEvent {
    /// What.
    pub event_type: &'static str,
    /// How grave.
    pub severity: Severity,
    /// An [`ActionTaken`] as a word.
    pub action_taken: &'static str,
}

impl SecurityEvent {
    /// The event a refusal deserves, if any.
    pub fn of_refusal(problem: &Problem) -> Option<Self> {
        let (event_type, severity) = match problem.code {
            ProblemCode::LabelPolicyViolation => ("label_policy_violation", Severity::Medium),
            ProblemCode::RunnerGroupNotAllowed => ("runner_group_not_allowed", Severity::Medium),
            ProblemCode::QuotaExceeded => ("quota_exceeded", Severity::Low),
            ProblemCode::CredentialDenied => ("credential_denied", Severity::High),
            _ => return None,
        };
        Some(Self { event_type, severity, action_taken: "refused" })
    }
}
