//! Accepting a request for a runner: one transaction, one ticket.

use std::time::Duration;

use domain::{
    Admission, AuditEntry, Caller, Job, JobId, JobKind, JobParams, Origin, Principal, Problem, ProblemCode,
    ProvisionRequest, RunnerId, Team, TeamId,
};
use serde_json::json;
use store::{NewJob, NewRunner, Seen, StoreError, Tx};
use tokio::time::{Instant, sleep};

use crate::{
    app::App,
    error::{ApiError, ApiResult},
    queueing, refusal,
    views::Warning,
};

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

/// How long a request is tried again while others stand in its way.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// What is known of a request before it is recorded.
struct Plan {
    team: Team,
    /// What the policy makes of it, the quota aside.
    admission: Result<Admission, Problem>,
    /// Seconds until the job could start, or why it could not in time.
    starts_in: Result<u64, Problem>,
}

/// What one try came to.
enum Committed<'p> {
    /// The Idempotency-Key was known.
    Before(Job),
    /// The request is recorded.
    Now(Job, &'p Plan),
}

/// Why one try came to nothing.
enum Obstacle {
    /// Another transaction stood in the way.
    Passing,
    /// Anything else.
    Lasting(ApiError),
}

impl From<StoreError> for Obstacle {
    fn from(error: StoreError) -> Self {
        if error.is_conflict_in_time() { Self::Passing } else { Self::Lasting(error.into()) }
    }
}

impl From<Problem> for Obstacle {
    fn from(problem: Problem) -> Self {
        Self::Lasting(problem.into())
    }
}

fn crowded() -> Problem {
    let detail = "Other requests of this team are being recorded and take long; try again shortly.";
    Problem::new(ProblemCode::DatabaseUnavailable, detail).retry_after(2)
}

impl Ask<'_> {
    /// Commits the key, the quota, the runner, the job and the audit row together; then tells the queue. Answers the job,
    /// and for a new one the seconds until it is expected to start.
    pub(super) async fn accept(&self, app: &App) -> ApiResult<(Job, Option<u64>)> {
        // Asked before the transaction, judged in it: a known key is answered whatever has changed since.
        let mut plan = self.plan(app).await;
        if self.key.is_none() {
            plan = Ok(plan?);
        }
        let until = Instant::now() + PATIENCE;
        loop {
            match self.commit(app, &plan).await {
                Err(Obstacle::Passing) if Instant::now() < until => sleep(PAUSE).await,
                Err(Obstacle::Passing) => return Err(crowded().into()),
                Err(Obstacle::Lasting(error)) => return Err(error),
                Ok(Committed::Before(job)) => return Ok((job, None)),
                Ok(Committed::Now(job, plan)) => {
                    queueing::enqueue(app, &job, plan.team.weight).await;
                    return Ok((job, plan.starts_in.as_ref().ok().copied()));
                }
            }
        }
    }

    /// Takes one try, in one transaction. A few of a team's have one at a time: the others wait without a connection.
    async fn commit<'p>(&self, app: &App, plan: &'p ApiResult<Plan>) -> Result<Committed<'p>, Obstacle> {
        let team = plan.as_ref().ok().map(|plan| plan.team.id).or(self.team);
        let _turn = match team {
            Some(team) => Some(app.accept_turns().take(&team).await.ok_or_else(crowded)?),
            None => None,
        };
        let id = JobId::new();
        let mut tx = app.store.begin_briefly().await?;
        if let Some(before) = self.take_key(&mut tx, id).await? {
            return Ok(Committed::Before(before));
        }
        let plan = plan.as_ref().map_err(|error| error.0.clone())?;
        let admission = plan.admission.as_ref().map_err(Clone::clone)?;
        self.check_quota(&mut tx, &plan.team).await?;
        plan.starts_in.as_ref().map_err(Clone::clone)?;
        let job = self.record(&mut tx, id, &plan.team, admission).await?;
        tx.commit().await?;
        Ok(Committed::Now(job, plan))
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
        // Here and not beside the quota: reading a policy takes its time, and others would wait for the lock meanwhile.
        let admission = app
            .default_group(&team.installation)
            .and_then(|default_group| team.admit(&self.request, 0, default_group));
        Ok(Plan { team, admission, starts_in })
    }

    async fn take_key(&self, tx: &mut Tx, job: JobId) -> Result<Option<Job>, Obstacle> {
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

    /// Counts the team's runners where that matters, with everyone else who counts them waiting.
    async fn check_quota(&self, tx: &mut Tx, team: &Team) -> Result<(), Obstacle> {
        if team.max_runners.is_some() {
            tx.teams().lock_quota(team.id).await?;
            team.check_quota(tx.runners().count_live(team.id).await?)?;
        }
        Ok(())
    }

    async fn record(
        &self,
        tx: &mut Tx,
        id: JobId,
        team: &Team,
        admission: &Admission,
    ) -> Result<Job, Obstacle> {
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
        let kept = refusal::labels(&self.request.labels, problem);
        let mut data = json!({
            "code": problem.code,
            "labels": kept["refused"],
            "refused_label_count": kept["refused_count"],
            "label_count": kept["count"],
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

fn name_taken(error: StoreError) -> Obstacle {
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
