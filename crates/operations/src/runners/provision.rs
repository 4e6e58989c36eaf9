//! Acceptance of requests for runners: one transaction, then one ticket.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    Admission, AuditEntry, Caller, InstallationId, Job, JobId, JobKind, JobParams, Problem, ProblemCode,
    ProvisionRequest, RunnerId, Team, TeamId,
};
use serde_json::json;
use store::{NewJob, NewRunner, Seen, StoreError, Tx};
use tokio::time::{Instant, sleep};

use crate::{Actor, OperationError, Operations, Result, Turns, queueing, refusal};

/// What a request for a runner is held against besides the policy of its team.
#[derive(Clone, Copy, Debug)]
pub struct ProvisionRules<'a> {
    /// Every installation configured, with the runner group of requests that name none.
    pub default_groups: &'a BTreeMap<InstallationId, i64>,
    /// Whether registration tokens are handed out at all.
    pub registration_tokens: bool,
    /// The requests each team has under way in the database. They wait for each other there, and each holds a connection
    /// meanwhile: a few may, the others wait here.
    pub turns: &'a Turns<TeamId>,
}

impl ProvisionRules<'_> {
    /// Returns the runner group of requests that name none.
    ///
    /// # Errors
    /// `github_unavailable` for an installation that is not configured: the jobs of its teams would wait in vain.
    pub fn default_group(&self, installation: &InstallationId) -> Result<i64, Problem> {
        self.default_groups.get(installation).copied().ok_or_else(|| {
            let detail = format!("The team's GitHub installation `{installation}` is not configured here.");
            Problem::new(ProblemCode::GithubUnavailable, detail)
        })
    }
}

/// One request for a runner, read and checked.
#[derive(Debug)]
pub struct ProvisionCommand<'r> {
    /// The caller.
    pub by: Actor<'r>,
    /// Idempotency-Key.
    pub key: Option<String>,
    /// Hash of the body: with the same key it must be the same.
    pub hash: Vec<u8>,
    /// What the runner is to be like.
    pub request: ProvisionRequest,
    /// The team named; without it, the caller's only one.
    pub team: Option<TeamId>,
    /// How the runner comes to be on GitHub.
    pub registration: Registration,
}

/// How the runner comes to be on GitHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// By a JIT config, with everything bound beforehand.
    Jit,
    /// It registers itself with a token.
    Token {
        /// Takes one workflow job and is gone.
        ephemeral: bool,
    },
}

impl Registration {
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

    /// Whether the caller may use it.
    fn permit(self, rules: &ProvisionRules<'_>, caller: &Caller) -> Result<(), Problem> {
        let (code, detail) = match self {
            Self::Jit if caller.can_use_jit => return Ok(()),
            Self::Jit => (ProblemCode::JitNotAllowed, "You may not have JIT configs; ask an admin."),
            Self::Token { .. } if !rules.registration_tokens => (
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

/// Longest time a request is tried again while others stand in its way.
const MAX_TRYING: Duration = Duration::from_secs(5);
/// Pause between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// What is known of a request before it is recorded.
struct Admissible {
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
    Now(Job, &'p Admissible),
}

/// Why one try came to nothing.
enum Obstacle {
    /// Another transaction stood in the way.
    Passing,
    /// Anything else.
    Lasting(OperationError),
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

impl Operations<'_> {
    /// Accepts a request for a runner: commits the key, the quota, the runner, the job and the audit row together, then
    /// tells the queue. Returns the job, and for a new one the seconds until it is expected to start.
    ///
    /// # Errors
    /// Every refusal of policy, quota, team, name or key, written down; the database's.
    pub async fn provision(
        &self,
        rules: &ProvisionRules<'_>,
        command: &ProvisionCommand<'_>,
    ) -> Result<(Job, Option<u64>)> {
        match command.submit(self, rules).await {
            Err(OperationError::Refused(problem)) => {
                command.record_refusal(self, &problem).await?;
                Err(problem.into())
            }
            submitted => submitted,
        }
    }
}

impl ProvisionCommand<'_> {
    async fn submit(
        &self,
        operations: &Operations<'_>,
        rules: &ProvisionRules<'_>,
    ) -> Result<(Job, Option<u64>)> {
        // Asked before the transaction, judged in it: a known key is answered whatever has changed since.
        let plan = match self.check(operations, rules).await {
            Ok(plan) => Ok(plan),
            Err(OperationError::Refused(problem)) if self.key.is_some() => Err(problem),
            Err(error) => return Err(error),
        };
        let until = Instant::now() + MAX_TRYING;
        loop {
            match self.commit(operations, rules, &plan).await {
                Err(Obstacle::Passing) if Instant::now() < until => sleep(RETRY_PAUSE).await,
                Err(Obstacle::Passing) => return Err(crowded().into()),
                Err(Obstacle::Lasting(error)) => return Err(error),
                Ok(Committed::Before(job)) => return Ok((job, None)),
                Ok(Committed::Now(job, plan)) => {
                    queueing::enqueue(operations.queue, &job, plan.team.weight).await;
                    return Ok((job, plan.starts_in.as_ref().ok().copied()));
                }
            }
        }
    }

    /// Takes one try, in one transaction. A few of a team's have one at a time: the others wait without a connection.
    async fn commit<'p>(
        &self,
        operations: &Operations<'_>,
        rules: &ProvisionRules<'_>,
        plan: &'p Result<Admissible, Problem>,
    ) -> Result<Committed<'p>, Obstacle> {
        let team = plan.as_ref().ok().map(|plan| plan.team.id).or(self.team);
        let _turn = match team {
            Some(team) => Some(rules.turns.take(&team).await.ok_or_else(crowded)?),
            None => None,
        };
        let id = JobId::new();
        let mut tx = operations.store.begin_briefly().await?;
        if let Some(before) = self.take_key(&mut tx, id).await? {
            return Ok(Committed::Before(before));
        }
        let plan = plan.as_ref().map_err(Clone::clone)?;
        let admission = plan.admission.as_ref().map_err(Clone::clone)?;
        self.check_quota(&mut tx, &plan.team).await?;
        plan.starts_in.as_ref().map_err(Clone::clone)?;
        let job = self.record(&mut tx, id, &plan.team, admission).await?;
        tx.commit().await?;
        Ok(Committed::Now(job, plan))
    }

    /// Whose request it is, and when it could start.
    async fn check(&self, operations: &Operations<'_>, rules: &ProvisionRules<'_>) -> Result<Admissible> {
        let caller = self.by.caller;
        self.registration.permit(rules, caller)?;
        let team_id = caller.choose_team(self.team)?;
        let gone = || Problem::new(ProblemCode::TeamForbidden, "There is no such team.");
        let team = operations.store.conn().await?.teams().policy(team_id).await?.ok_or_else(gone)?;
        let starts_in = queueing::estimate_start(operations.queue, &team, self.registration.kind()).await;
        // Here and not beside the quota: reading a policy takes its time, and others would wait for the lock meanwhile.
        let admission = rules
            .default_group(&team.installation)
            .and_then(|default_group| team.admit(&self.request, 0, default_group));
        Ok(Admissible { team, admission, starts_in })
    }

    async fn take_key(&self, tx: &mut Tx, job: JobId) -> Result<Option<Job>, Obstacle> {
        let Some(key) = &self.key else { return Ok(None) };
        match tx
            .idempotency()
            .take((self.by.caller.requester, self.by.subject()), key, &self.hash, job)
            .await?
        {
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
            owner: self.by.caller.requester,
            name: self.request.name.name(id, 1),
            runner_group_id: admission.runner_group_id(),
            labels: admission.labels().to_vec(),
            ephemeral: !matches!(self.registration, Registration::Token { ephemeral: false }),
            registers_itself: self.registration != Registration::Jit,
            stated_version: self.request.runner_version.clone(),
        };
        tx.runners().insert(&runner).await.map_err(name_taken)?;
        let job = NewJob {
            id,
            installation: team.installation.clone(),
            team: Some(team.id),
            requester: Some(self.by.caller.requester),
            runner: Some(runner.id),
            call: None,
            params: match self.registration {
                Registration::Jit => JobParams::Provision {
                    name: self.request.name.clone(),
                    work_folder: self.request.work_folder.clone(),
                },
                Registration::Token { .. } => JobParams::Register,
            },
            trace: self.by.origin.trace.clone(),
        };
        let job = tx.jobs().insert_for(&job, self.by.subject()).await?;
        let entry = AuditEntry {
            runner: Some(runner.id),
            runner_name: Some(runner.name.to_string()),
            team: Some(team.id),
            job: Some(id),
            data: json!({ "labels": admission.labels(), "runner_group_id": admission.runner_group_id() }),
            ..self.by.entry(self.registration.event_type())
        };
        tx.audit().write(&entry).await?;
        Ok(job)
    }

    /// Writes a refusal down: an audit row always, a security event where the policy was tried.
    async fn record_refusal(&self, operations: &Operations<'_>, problem: &Problem) -> Result<()> {
        if !matches!(problem.code.status(), 403 | 409) {
            return Ok(());
        }
        let caller = self.by.caller;
        let team = self.team.or(match caller.teams.as_slice() {
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
        // A caller who does not belong to a team writes nothing into its log, least of all in words of their own.
        let member = team.is_none_or(|team| caller.is_member(team));
        if !member {
            data["team_id"] = json!(team);
        }
        let entry = AuditEntry {
            team: team.filter(|_| member),
            data,
            error: Some(problem.detail.clone()),
            ..self.by.entry(self.registration.event_type())
        };
        operations.record_refusal(&entry, problem).await
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
