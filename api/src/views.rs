//! What callers see of our nouns.

use chrono::{DateTime, Utc};
use domain::{
    ActionTaken, BlockedOn, CutOff, Job, JobKind, JobState, LabelOverlap, MachineClient, Membership, Runner,
    RunnerStatus, RunnerVersion, Team, User, VersionState,
};
use serde::Serialize;
use serde_json::Value;
use store::{AuditRow, SecurityRow, TransitionRow};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{error::ProblemBody, openapi};

/// A job.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobView {
    /// Its id.
    pub(crate) job_id: Uuid,
    /// What it does.
    #[schema(schema_with = openapi::job_kind)]
    pub(crate) kind: JobKind,
    /// Where it stands; `succeeded`, `failed`, `cancelled` and `expired` are final.
    #[schema(schema_with = openapi::job_state)]
    pub(crate) state: JobState,
    /// While queued: why it does not run yet.
    #[schema(schema_with = openapi::blocked_on)]
    pub(crate) blocked_on: Option<BlockedOn>,
    /// While queued: about when it will start, as the queue and GitHub's limits stand; null where that was not asked.
    pub(crate) estimated_start_at: Option<DateTime<Utc>>,
    /// Failures so far, the attempt under way included.
    pub(crate) attempts: i32,
    /// Accepted.
    pub(crate) created_at: DateTime<Utc>,
    /// First started.
    pub(crate) started_at: Option<DateTime<Utc>>,
    /// Final since.
    pub(crate) finished_at: Option<DateTime<Utc>>,
    /// Not to be run after.
    pub(crate) deadline_at: DateTime<Utc>,
    /// On whose account.
    pub(crate) team_id: Option<Uuid>,
    /// The runner it is about.
    pub(crate) runner_id: Option<Uuid>,
    /// That runner's name; it is settled once the job has succeeded.
    pub(crate) runner_name: Option<String>,
    /// Why it failed.
    pub(crate) error: Option<ProblemBody>,
}

impl From<Job> for JobView {
    fn from(job: Job) -> Self {
        let waits = (job.state == JobState::Queued).then(|| job.blocked_on.unwrap_or(BlockedOn::Worker));
        Self {
            job_id: job.id.uuid(),
            kind: job.kind,
            state: job.state,
            blocked_on: waits,
            estimated_start_at: None,
            attempts: job.attempts,
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            deadline_at: job.deadline_at,
            team_id: job.team.map(Into::into),
            runner_id: job.runner.map(Into::into),
            runner_name: job.runner_name,
            error: job.error.as_ref().map(ProblemBody::from),
        }
    }
}

/// Something a caller should know, although nothing was refused.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Warning {
    /// `runner_version_deprecated_soon`, `runner_version_deprecated`, `pattern_admits_label_of_other_team` or
    /// `label_required_by_other_team`.
    code: &'static str,
    /// A sentence for a person.
    detail: String,
}

impl Warning {
    /// What is to be said about a label that another team requires.
    pub(crate) fn of_overlap(overlap: &LabelOverlap) -> Self {
        let (label, team) = (&overlap.label, &overlap.team);
        match &overlap.pattern {
            Some(pattern) => Self {
                code: "pattern_admits_label_of_other_team",
                detail: format!(
                    "The pattern {pattern} matches {label}, which the team {team} requires: that label stays refused here."
                ),
            },
            None => Self {
                code: "label_required_by_other_team",
                detail: format!(
                    "The team {team} requires {label} too: runners of both teams take the jobs that ask for it."
                ),
            },
        }
    }

    /// What is to be said about a version, if anything.
    pub(crate) fn of(version: &RunnerVersion, cut_off: CutOff, now: DateTime<Utc>) -> Option<Self> {
        let code = match cut_off.state(now) {
            VersionState::Unknown | VersionState::Current => return None,
            VersionState::Soon => "runner_version_deprecated_soon",
            VersionState::Deprecated => "runner_version_deprecated",
        };
        let on = |at: Option<DateTime<Utc>>| {
            at.map_or("an unknown day".to_owned(), |at| at.date_naive().to_string())
        };
        let detail = format!(
            "GitHub registers runners of version {version} until {}, and lets them run until {}; start a newer one.",
            on(cut_off.registration),
            on(cut_off.runtime)
        );
        Some(Self { code, detail })
    }
}

/// A runner.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Runner)]
pub(crate) struct RunnerView {
    /// Our id.
    pub(crate) runner_id: Uuid,
    /// Its name on GitHub; while `requested`, the name of the newest try.
    pub(crate) runner_name: String,
    /// Where it stands.
    #[schema(schema_with = openapi::runner_status)]
    pub(crate) status: RunnerStatus,
    /// Runs a workflow job just now.
    pub(crate) busy: bool,
    /// GitHub's id.
    pub(crate) github_runner_id: Option<i64>,
    /// GitHub's runner group.
    pub(crate) runner_group_id: i64,
    /// Labels bound at the request.
    pub(crate) labels: Vec<String>,
    /// Takes one workflow job and is gone.
    pub(crate) ephemeral: bool,
    /// Its software, as the caller stated it.
    pub(crate) stated_version: Option<String>,
    /// Its software, as GitHub told it.
    pub(crate) version: Option<String>,
    /// Who asked for it.
    pub(crate) provisioned_by: Option<String>,
    /// Its team.
    pub(crate) team_id: Uuid,
    /// Its team's name.
    pub(crate) team_name: String,
    /// Asked for.
    pub(crate) created_at: DateTime<Utc>,
    /// Last changed.
    pub(crate) updated_at: DateTime<Utc>,
    /// Config issued.
    pub(crate) registered_at: Option<DateTime<Utc>>,
    /// Gone since.
    pub(crate) deleted_at: Option<DateTime<Utc>>,
}

impl From<Runner> for RunnerView {
    fn from(runner: Runner) -> Self {
        Self {
            runner_id: runner.id.uuid(),
            runner_name: runner.name,
            status: runner.status,
            busy: runner.busy,
            github_runner_id: runner.github_runner_id,
            runner_group_id: runner.runner_group_id,
            labels: runner.labels,
            ephemeral: runner.ephemeral,
            stated_version: runner.stated_version,
            version: runner.version,
            provisioned_by: runner.provisioned_by_name,
            team_id: runner.team.uuid(),
            team_name: runner.team_name,
            created_at: runner.created_at,
            updated_at: runner.updated_at,
            registered_at: runner.registered_at,
            deleted_at: runner.deleted_at,
        }
    }
}

/// A runner and its audit trail.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct RunnerWithEvents {
    #[serde(flatten)]
    pub(crate) runner: RunnerView,
    /// Its last 100 audit rows, newest first.
    pub(crate) events: Vec<AuditView>,
    /// Its last 100 changes of status, newest first.
    pub(crate) transitions: Vec<TransitionView>,
}

/// A change of a runner's status.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Transition)]
pub(crate) struct TransitionView {
    /// When.
    pub(crate) at: DateTime<Utc>,
    /// From where; null for the first.
    pub(crate) from_status: Option<String>,
    /// To where.
    pub(crate) to_status: String,
    /// Who noticed or made it: `sync`, `webhook`, `refresh`, `api` or `job`.
    #[schema(example = "sync")]
    pub(crate) source: String,
    /// Why.
    pub(crate) detail: Option<String>,
}

impl From<TransitionRow> for TransitionView {
    fn from(row: TransitionRow) -> Self {
        Self {
            at: row.at,
            from_status: row.from_status,
            to_status: row.to_status,
            source: row.source,
            detail: row.detail,
        }
    }
}

/// A team the caller belongs to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TeamRef {
    /// Its id.
    pub(crate) id: Uuid,
    /// Its name.
    pub(crate) name: String,
    /// The team may do anything at all.
    pub(crate) is_active: bool,
}

impl From<&Membership> for TeamRef {
    fn from(team: &Membership) -> Self {
        Self { id: team.id.uuid(), name: team.name.clone(), is_active: team.is_active }
    }
}

/// A team.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Team)]
pub(crate) struct TeamView {
    /// Its id.
    pub(crate) id: Uuid,
    /// Its name.
    pub(crate) name: String,
    /// What it is.
    pub(crate) description: Option<String>,
    /// Labels every runner of the team gets.
    pub(crate) required_labels: Vec<String>,
    /// What further labels may be: `*`, `glob:gpu-*`, or a regular expression over the whole label.
    pub(crate) optional_label_patterns: Vec<String>,
    /// Every runner gets the label `self-hosted`.
    pub(crate) add_self_hosted: bool,
    /// Runner groups it may use; empty means only the default group.
    pub(crate) allowed_runner_group_ids: Vec<i64>,
    /// Repositories whose jobs may run on its runners: globs of `owner/name`; empty means all.
    pub(crate) allowed_repositories: Vec<String>,
    /// Workflows whose jobs may run on its runners: globs of their names; empty means all.
    pub(crate) allowed_workflows: Vec<String>,
    /// Most runners at a time; null means unlimited.
    pub(crate) max_runners: Option<i32>,
    /// Its weight in the fair queue.
    pub(crate) weight: f64,
    /// What happens to an idle runner whose labels were changed on GitHub.
    #[schema(schema_with = openapi::drift_response)]
    pub(crate) drift_response: domain::DriftResponse,
    /// Whose GitHub budget it uses.
    pub(crate) installation: String,
    /// May do anything at all.
    pub(crate) is_active: bool,
    /// Why not.
    pub(crate) deactivation_reason: Option<String>,
    /// How many people belong to it.
    pub(crate) member_count: i64,
    /// How many of its runners are not deleted.
    pub(crate) active_runner_count: i64,
    /// Added.
    pub(crate) created_at: DateTime<Utc>,
    /// Last changed.
    pub(crate) updated_at: DateTime<Utc>,
    /// What an admin should know about its labels, told when the team is written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<Warning>,
}

impl From<Team> for TeamView {
    fn from(team: Team) -> Self {
        Self {
            id: team.id.uuid(),
            name: team.name,
            description: team.description,
            required_labels: team.required_labels,
            optional_label_patterns: team.optional_label_patterns,
            add_self_hosted: team.add_self_hosted,
            allowed_runner_group_ids: team.allowed_runner_group_ids,
            allowed_repositories: team.allowed_repositories,
            allowed_workflows: team.allowed_workflows,
            max_runners: team.max_runners,
            weight: team.weight,
            drift_response: team.drift_response,
            installation: team.installation.to_string(),
            is_active: team.is_active,
            deactivation_reason: team.deactivation_reason,
            member_count: team.member_count,
            active_runner_count: team.active_runner_count,
            created_at: team.created_at,
            updated_at: team.updated_at,
            warnings: Vec::new(),
        }
    }
}

/// A person.
#[expect(clippy::struct_excessive_bools, reason = "four independent permissions")]
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserView {
    /// Their id.
    pub(crate) id: Uuid,
    /// E-mail.
    pub(crate) email: Option<String>,
    /// Token issuer; with `oidc_sub` the identity, once bound.
    pub(crate) issuer: Option<String>,
    /// Token subject.
    pub(crate) oidc_sub: Option<String>,
    /// Name to show.
    pub(crate) display_name: Option<String>,
    /// May administer.
    pub(crate) is_admin: bool,
    /// Sees everything, changes nothing, gets no config.
    pub(crate) is_viewer: bool,
    /// May do anything at all.
    pub(crate) is_active: bool,
    /// May have JIT configs.
    pub(crate) can_use_jit: bool,
    /// May have registration tokens.
    pub(crate) can_use_registration_token: bool,
    /// Added.
    pub(crate) created_at: DateTime<Utc>,
    /// Last seen, to about five minutes.
    pub(crate) last_login_at: Option<DateTime<Utc>>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id.uuid(),
            email: user.email,
            issuer: user.issuer,
            oidc_sub: user.subject,
            display_name: user.display_name,
            is_admin: user.is_admin,
            is_viewer: user.is_viewer,
            is_active: user.is_active,
            can_use_jit: user.can_use_jit,
            can_use_registration_token: user.can_use_registration_token,
            created_at: user.created_at,
            last_login_at: user.last_login_at,
        }
    }
}

/// A machine client.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = MachineClient)]
pub(crate) struct ClientView {
    /// Our id.
    pub(crate) id: Uuid,
    /// The identity provider's id for it, or a name for its rule.
    pub(crate) client_id: String,
    /// The issuer whose tokens count.
    pub(crate) issuer: String,
    /// The team it acts for.
    pub(crate) team_id: Uuid,
    /// What it is.
    pub(crate) description: Option<String>,
    /// Which tokens are meant, where they carry no client id.
    pub(crate) rule: Option<ClaimRuleBody>,
    /// May do anything at all.
    pub(crate) is_active: bool,
    /// Added.
    pub(crate) created_at: DateTime<Utc>,
    /// Last seen, to about five minutes.
    pub(crate) last_used_at: Option<DateTime<Utc>>,
}

/// Which tokens of an issuer are meant.
#[derive(Clone, Debug, Serialize, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ClaimRule)]
pub(crate) struct ClaimRuleBody {
    /// Pattern of the whole subject; case counts. It must be written out past the owner, unless a claim names one.
    #[schema(min_length = 1, example = "repo:octo-org/deploy:environment:prod")]
    pub(crate) subject: String,
    /// Exact values of further claims.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(crate) claims: std::collections::BTreeMap<String, Value>,
}

impl From<MachineClient> for ClientView {
    fn from(client: MachineClient) -> Self {
        Self {
            id: client.id.uuid(),
            client_id: client.client_id,
            issuer: client.issuer,
            team_id: client.team.uuid(),
            description: client.description,
            rule: client.rule.map(|rule| ClaimRuleBody { subject: rule.subject, claims: rule.claims }),
            is_active: client.is_active,
            created_at: client.created_at,
            last_used_at: client.last_used_at,
        }
    }
}

/// A row of the audit log.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditRow)]
pub(crate) struct AuditView {
    /// Its id.
    pub(crate) id: Uuid,
    /// What, as `noun.verb`.
    #[schema(example = "runner.provision")]
    pub(crate) event_type: String,
    /// Who; null for the service itself.
    pub(crate) user_identity: Option<String>,
    /// Which runner.
    pub(crate) runner_id: Option<Uuid>,
    /// Its name.
    pub(crate) runner_name: Option<String>,
    /// Which team.
    pub(crate) team_id: Option<Uuid>,
    /// Its name today.
    pub(crate) team_name: Option<String>,
    /// Which job.
    pub(crate) job_id: Option<Uuid>,
    /// From where.
    pub(crate) request_ip: Option<String>,
    /// With what.
    pub(crate) user_agent: Option<String>,
    /// In which request.
    pub(crate) request_id: Option<String>,
    /// Details.
    #[schema(value_type = Option<Object>)]
    pub(crate) event_data: Option<Value>,
    /// Whether it was done.
    pub(crate) success: bool,
    /// Why not.
    pub(crate) error_message: Option<String>,
    /// When; of several occurrences the first.
    pub(crate) timestamp: DateTime<Utc>,
    /// How often it happened within that minute: equal refusals are one row.
    pub(crate) occurrences: i32,
    /// The last occurrence; null when there was only one.
    pub(crate) last_at: Option<DateTime<Utc>>,
}

impl From<AuditRow> for AuditView {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            event_type: row.event_type,
            user_identity: row.user_identity,
            runner_id: row.runner_id,
            runner_name: row.runner_name,
            team_id: row.team_id,
            team_name: row.team_name,
            job_id: row.job_id,
            request_ip: row.request_ip,
            user_agent: row.user_agent,
            request_id: row.request_id,
            event_data: row.event_data,
            success: row.success,
            error_message: row.error_message,
            timestamp: row.timestamp,
            occurrences: row.occurrences,
            last_at: row.last_at,
        }
    }
}

/// A security event.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SecurityEvent)]
pub(crate) struct SecurityView {
    /// Its id.
    pub(crate) id: Uuid,
    /// What.
    #[schema(example = "label_policy_violation")]
    pub(crate) event_type: String,
    /// How grave: `low`, `medium`, `high` or `critical`.
    #[schema(schema_with = openapi::severity)]
    pub(crate) severity: String,
    /// Who.
    pub(crate) user_identity: Option<String>,
    /// Which runner.
    pub(crate) runner_id: Option<Uuid>,
    /// Its name.
    pub(crate) runner_name: Option<String>,
    /// Which team.
    pub(crate) team_id: Option<Uuid>,
    /// Details.
    #[schema(value_type = Option<Object>)]
    pub(crate) violation_data: Option<Value>,
    /// A code of what was done about it so far.
    #[schema(example = "removal_requested")]
    pub(crate) action_taken: String,
    /// The same as a sentence.
    pub(crate) action_detail: &'static str,
    /// When; of several occurrences the first.
    pub(crate) timestamp: DateTime<Utc>,
    /// How often it happened within that minute: equal refusals are one row.
    pub(crate) occurrences: i32,
    /// The last occurrence; null when there was only one.
    pub(crate) last_at: Option<DateTime<Utc>>,
}

impl From<SecurityRow> for SecurityView {
    fn from(row: SecurityRow) -> Self {
        Self {
            id: row.id,
            event_type: row.event_type,
            severity: row.severity,
            user_identity: row.user_identity,
            runner_id: row.runner_id,
            runner_name: row.runner_name,
            team_id: row.team_id,
            violation_data: row.violation_data,
            action_detail: row.action_taken.parse().map_or("", ActionTaken::detail),
            action_taken: row.action_taken,
            timestamp: row.timestamp,
            occurrences: row.occurrences,
            last_at: row.last_at,
        }
    }
}
