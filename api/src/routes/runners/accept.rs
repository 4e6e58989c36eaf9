//! Accepting a request for a runner: one transaction, one ticket.

use domain::{
    Admission, AuditEntry, Caller, Job, JobId, JobKind, JobParams, Origin, Principal, Problem, ProblemCode,
    ProvisionRequest, RunnerId, Team, TeamId,
};
use serde_json::json;
use store::{NewJob, NewRunner, Seen, StoreError, Tx};

use crate::{
    app::App,
    error::{ApiError, ApiResult},
    queueing, refusal,
    views::Warning,
};

/// Labels of a refused request that are written down.
const NOTED_LABELS: usize = 20;
/// Characters of each of them.
const NOTED_CHARS: usize = 64;

/// One request, read and checked.
pub(super) struct Ask<'r> {
    pub(super) caller: &'r Caller,
    pub(super) origin: &'r Origin,
    pub(super) key: Option<String>,
    pub(super) hash: Vec<u8>,
    pub(super) request: ProvisionRequest,
    pub(super) team: Option<TeamId>,
    pub(super) way: Way,
}

/// How the runner comes to be on GitHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By a JIT config, with everything bound beforehand.
    Jit,
    /// It registers itself with a token.
    Token {
        /// Takes one workflow job and is gone.
        ephemeral: bool,
    },
}

impl Way {
    const fn kind(self) -> JobKind {
        match self {
            Self::Jit => JobKind::Provision,
            Self::Token { .. } => JobKind::Register,
        }
    }

    const fn event_type(self) -> &'static str {
        match self {
            Self::Jit => "runner.provision",
            Self::Token { .. } => "runner.register",
        }
    }

    /// Whether the caller may go it.
    fn permit(self, app: &App, caller: &Caller) -> Result<(), Problem> {
        let (code, detail) = match self {
            Self::Jit if caller.can_use_jit => return Ok(()),
            Self::Jit => (ProblemCode::JitNotAllowed, "You may not have JIT configs; ask an admin."),
            Self::Token { .. } if !app.registration_tokens => (
                ProblemCode::RegistrationTokensDisabled,
                "Registration tokens are not handed out here; ask for a JIT config instead.",
            ),
            Self::Token { .. } if caller.can_use_registration_token => return Ok(()),
            Self::Token { .. } => (
                ProblemCode::RegistrationTokenNotAllowed,
                "You may not have registration tokens; ask for a JIT config instead.",
            ),
        };
        Err(Problem::new(code, detail))
    }
}

/// What is known of a request before it is recorded.
struct Plan {
    team: Team,
    /// Seconds until the job could start, or why it could not in time.
    starts_in: Result<u64, Problem>,
}

impl Ask<'_> {
    /// Commits the key, the quota, the runner, the job and the audit row together; then tells the queue. Answers the job,
    /// and for a new one the seconds until it is expected to start.
    pub(super) async fn accept(&self, app: &App) -> ApiResult<(Job, Option<u64>)> {
        // Asked before the transaction, judged in it: a known key is answered whatever has changed since.
        let plan = self.plan(app).await;
        let id = JobId::new();
        let mut tx = app.store.begin().await?;
        if let Some(before) = self.take_key(&mut tx, id).await? {
            return Ok((before, None));
        }
        let Plan { team, starts_in } = plan?;
        let in_use = self.in_use(&mut tx, &team).await?;
        let default_group = app.default_group(&team.installation)?;
        let admission = team.admit(&self.request, in_use, default_group)?;
        let starts_in = starts_in?;
        let job = self.record(&mut tx, id, &team, &admission).await?;
        tx.commit().await?;
        queueing::enqueue(app, &job, team.weight).await;
        Ok((job, Some(starts_in)))
    }

    /// What the caller should know about what it asked for.
    pub(super) async fn warnings(&self, app: &App, job: &Job) -> ApiResult<Vec<Warning>> {
        let Some(version) = &self.request.runner_version else { return Ok(Vec::new()) };
        let known = app.store.read().await?.versions().cut_off(&job.installation, version).await?;
        Ok(known.and_then(|(cut_off, now)| Warning::of(version, cut_off, now)).into_iter().collect())
    }

    /// Whose request it is, and when it could start.
    async fn plan(&self, app: &App) -> ApiResult<Plan> {
        self.way.permit(app, self.caller)?;
        let team_id = self.caller.choose_team(self.team)?;
        let gone = || Problem::new(ProblemCode::TeamForbidden, "There is no such team.");
        let team = app.store.read().await?.teams().policy(team_id).await?.ok_or_else(gone)?;
        let starts_in = queueing::foresee(app, &team, self.way.kind()).await;
        Ok(Plan { team, starts_in })
    }

    async fn take_key(&self, tx: &mut Tx, job: JobId) -> ApiResult<Option<Job>> {
        let Some(key) = &self.key else { return Ok(None) };
        match tx.idempotency().take((self.caller.requester, self.asked_by()), key, &self.hash, job).await? {
            Seen::New => Ok(None),
            Seen::Before(job) => Ok(tx.jobs().get(job).await?),
            // The job of another workflow or account of the same client: what it makes is not for this one.
            Seen::OtherSubject(_) => {
                let detail =
                    "This Idempotency-Key was used by another subject of this machine client; use a new one.";
                Err(Problem::new(ProblemCode::CredentialDenied, detail).into())
            }
            Seen::Mismatch => Err(Problem::new(
                ProblemCode::IdempotencyMismatch,
                "This Idempotency-Key was used with another body; use a new one.",
            )
            .into()),
        }
    }

    /// The subject that a machine client asks through; people are one subject.
    fn asked_by(&self) -> Option<&Principal> {
        self.caller.requester.client().map(|_| &self.caller.principal)
    }

    /// The team's runners, counted where it matters, with everyone else who counts them waiting.
    async fn in_use(&self, tx: &mut Tx, team: &Team) -> ApiResult<i64> {
        if team.max_runners.is_none() {
            return Ok(0);
        }
        tx.teams().lock_quota(team.id).await?;
        Ok(tx.runners().count_live(team.id).await?)
    }

    async fn record(&self, tx: &mut Tx, id: JobId, team: &Team, admission: &Admission) -> ApiResult<Job> {
        let runner = NewRunner {
            id: RunnerId::new(),
            installation: team.installation.clone(),
            team: team.id,
            owner: self.caller.requester,
            name: self.request.name.name(id, 1),
            runner_group_id: admission.runner_group_id(),
            labels: admission.labels().to_vec(),
            ephemeral: !matches!(self.way, Way::Token { ephemeral: false }),
            registers_itself: self.way != Way::Jit,
            stated_version: self.request.runner_version.clone(),
        };
        tx.runners().insert(&runner).await.map_err(name_taken)?;
        let job = NewJob {
            id,
            installation: team.installation.clone(),
            team: Some(team.id),
            requester: Some(self.caller.requester),
            runner: Some(runner.id),
            call: None,
            params: match self.way {
                Way::Jit => JobParams::Provision {
                    name: self.request.name.clone(),
                    work_folder: self.request.work_folder.clone(),
                },
                Way::Token { .. } => JobParams::Register,
            },
            trace: self.origin.trace.clone(),
        };
        let job = tx.jobs().insert_for(&job, self.asked_by()).await?;
        let entry = AuditEntry {
            runner: Some(runner.id),
            runner_name: Some(runner.name.to_string()),
            team: Some(team.id),
            job: Some(id),
            data: json!({ "labels": admission.labels(), "runner_group_id": admission.runner_group_id() }),
            ..AuditEntry::by(self.caller, self.origin, self.way.event_type())
        };
        tx.audit().write(&entry).await?;
        Ok(job)
    }

    /// Writes a refusal down: an audit row always, a security event where the policy was tried.
    pub(super) async fn refused(&self, app: &App, error: ApiError) -> ApiError {
        let problem = &error.0;
        if !matches!(problem.code.status(), 403 | 409) {
            return error;
        }
        let team = self.team.or(match self.caller.teams.as_slice() {
            [only] => Some(only.id),
            _ => None,
        });
        let mut data = json!({
            "code": problem.code,
            "labels": excerpt(&self.request.labels),
            "label_count": self.request.labels.len(),
            "runner_group_id": self.request.runner_group_id,
            "name": self.request.name,
        });
        // Whoever does not belong to a team writes nothing into its log, least of all in words of their own.
        let member = team.is_none_or(|team| self.caller.is_member(team));
        if !member {
            data["team_id"] = json!(team);
        }
        let entry = AuditEntry {
            team: team.filter(|_| member),
            data,
            error: Some(problem.detail.clone()),
            ..AuditEntry::by(self.caller, self.origin, self.way.event_type())
        };
        match refusal::note(app, &entry, problem).await {
            Ok(()) => error,
            Err(fault) => fault,
        }
    }
}

/// The beginning of what was asked for, so that a refusal takes a bounded place in the log.
fn excerpt(labels: &[String]) -> Vec<String> {
    labels.iter().take(NOTED_LABELS).map(|label| label.chars().take(NOTED_CHARS).collect()).collect()
}

fn name_taken(error: StoreError) -> ApiError {
    if error.constraint() == Some("runners_name_key") {
        return Problem::new(
            ProblemCode::RunnerNameConflict,
            "A live runner bears this name; choose another, or give a prefix instead.",
        )
        .with_errors(vec![domain::FieldError::new("/runner_name", "taken")])
        .into();
    }
    error.into()
}
