//! Acceptance of requests for runners, in one transaction each.
//!
//! The transaction holds the idempotency key, the quota of the team, the decision of its policy, and the rows of runner,
//! job and audit. A request is accepted completely or not at all. The job reaches the queue afterwards.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    Admission, AuditEntry, InstallationId, Job, JobId, JobKind, JobParams, Principal, Problem, ProblemCode,
    ProvisionRequest, RunnerId, SealingKey, Team, TeamId,
};
use serde_json::json;
use store::{NewJob, NewRunner, StoreError};
use tokio::time::{Instant, sleep};

use super::{place::check_quota, rows::RequestRows};
use crate::{Actor, OperationError, Operations, Result, Turns, queueing, tickets::Redemption};

/// Rules for requests besides the policy of the team.
#[derive(Clone, Copy, Debug)]
pub struct ProvisionRules<'a> {
    /// All configured installations, with the runner group of requests that name none.
    pub default_groups: &'a BTreeMap<InstallationId, i64>,
    /// Whether registration tokens are enabled.
    pub registration_tokens: bool,
    /// Limit on each team's requests in the database. Such requests wait for each other and each holds a connection, so
    /// the others wait here. `None` in a process that takes no requests of callers.
    pub turns: Option<&'a Turns<TeamId>>,
}

impl ProvisionRules<'_> {
    /// Returns the runner group of requests that name none.
    ///
    /// # Errors
    /// `github_unavailable` if the installation is not configured: jobs of its teams would never run.
    pub fn default_group(&self, installation: &InstallationId) -> Result<i64, Problem> {
        self.default_groups.get(installation).copied().ok_or_else(|| {
            let detail = format!("The team's GitHub installation `{installation}` is not configured here.");
            Problem::new(ProblemCode::GithubUnavailable, detail)
        })
    }
}

/// One validated request for a runner.
#[derive(Debug)]
pub struct ProvisionCommand<'r> {
    /// The caller.
    pub by: Actor<'r>,
    /// Idempotency key.
    pub key: Option<String>,
    /// Hash of the body; it must be equal for an equal key.
    pub hash: Vec<u8>,
    /// Properties of the requested runner.
    pub request: ProvisionRequest,
    /// Team named in the request; `None` means the caller's only team.
    pub team: Option<TeamId>,
    /// Way the runner registers with GitHub.
    pub registration: Registration,
    /// Key to which the config is sealed. It is not in the hash of the body, so that a repeated request with another
    /// key learns which value differs.
    pub sealing_key: Option<SealingKey>,
    /// Ticket that a machine redeems for the runner. It takes the place of the idempotency key.
    pub(crate) redemption: Option<Redemption>,
}

impl<'r> ProvisionCommand<'r> {
    /// Returns a command without an idempotency key.
    pub fn new(
        by: Actor<'r>,
        registration: Registration,
        request: ProvisionRequest,
        team: Option<TeamId>,
    ) -> Self {
        let hash = Vec::new();
        Self { by, key: None, hash, request, team, registration, sealing_key: None, redemption: None }
    }

    /// Adds the idempotency key and the hash of the body.
    #[must_use]
    pub fn with_key(self, key: Option<String>, hash: Vec<u8>) -> Self {
        Self { key, hash, ..self }
    }

    /// Adds the key to which the config is sealed.
    #[must_use]
    pub fn sealed_to(self, sealing_key: Option<SealingKey>) -> Self {
        Self { sealing_key, ..self }
    }
}

/// Way a runner registers with GitHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// By a JIT config, which fixes name, labels and group.
    Jit,
    /// By itself, with a registration token.
    Token {
        /// Whether it runs one workflow job and is then removed.
        ephemeral: bool,
    },
}

impl Registration {
    pub(crate) const fn kind(self) -> JobKind {
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
}

/// Longest time a request is retried after conflicts with other transactions.
const MAX_RETRY_TIME: Duration = Duration::from_secs(5);
/// Pause between two attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Checks of a request before its transaction.
struct Admissible {
    team: Team,
    /// Decision of the team's policy, without the quota.
    admission: Result<Admission, Problem>,
    /// Seconds until the job is expected to start, or the refusal if that is too late.
    starts_in: Result<u64, Problem>,
}

/// Result of one attempt.
enum Committed<'p> {
    /// An earlier request had an equal idempotency key; this is its job.
    Earlier(Job),
    /// The request is recorded as this job.
    New(Job, &'p Admissible),
}

/// Reason why one attempt failed.
enum CommitError {
    /// A conflict with another transaction; a retry may succeed.
    Conflict,
    /// Any other error.
    Final(OperationError),
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        if error.is_transaction_conflict() { Self::Conflict } else { Self::Final(error.into()) }
    }
}

impl From<Problem> for CommitError {
    fn from(problem: Problem) -> Self {
        Self::Final(problem.into())
    }
}

impl From<OperationError> for CommitError {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Store(error) => error.into(),
            refused @ OperationError::Refused(_) => Self::Final(refused),
        }
    }
}

fn team_is_busy() -> Problem {
    let detail = "Other requests of this team take long to record; try again shortly.";
    Problem::new(ProblemCode::DatabaseUnavailable, detail).retry_after(2)
}

impl Operations<'_> {
    /// Accepts a request for a runner. The idempotency key, quota, runner, job and audit row are committed together;
    /// then the job is enqueued. Returns the job, and for a new one the seconds until it is expected to start.
    ///
    /// # Errors
    /// Every refusal by policy, quota, team, name or idempotency key, which is also recorded; database errors.
    pub async fn provision(
        &self,
        rules: &ProvisionRules<'_>,
        command: &ProvisionCommand<'_>,
    ) -> Result<(Job, Option<u64>)> {
        match command.submit(self, rules).await {
            Err(OperationError::Refused(problem)) => {
                command.record_refusal(self, command.registration.event_type(), &problem).await?;
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
        // The check precedes the transaction, but a refusal is returned only if the key is new: a known key returns its
        // job.
        let plan = match self.check(operations, rules).await {
            Ok(plan) => Ok(plan),
            Err(OperationError::Refused(problem)) if self.is_repeatable() => Err(problem),
            Err(error) => return Err(error),
        };
        let until = Instant::now() + MAX_RETRY_TIME;
        loop {
            match self.commit(operations, rules, &plan).await {
                Err(CommitError::Conflict) if Instant::now() < until => sleep(RETRY_PAUSE).await,
                Err(CommitError::Conflict) => return Err(team_is_busy().into()),
                Err(CommitError::Final(error)) => return Err(error),
                Ok(Committed::Earlier(job)) => return Ok((job, None)),
                Ok(Committed::New(job, plan)) => {
                    queueing::enqueue(operations.queue, &job, plan.team.weight).await;
                    return Ok((job, plan.starts_in.as_ref().ok().copied()));
                }
            }
        }
    }

    /// Makes one attempt in one transaction. A team has a limited number at a time; further requests wait without a
    /// connection.
    async fn commit<'p>(
        &self,
        operations: &Operations<'_>,
        rules: &ProvisionRules<'_>,
        plan: &'p Result<Admissible, Problem>,
    ) -> Result<Committed<'p>, CommitError> {
        let team = plan.as_ref().ok().map(|plan| plan.team.id).or(self.team);
        let _turn = match (team, rules.turns) {
            (Some(team), Some(turns)) => Some(turns.acquire(&team).await.ok_or_else(team_is_busy)?),
            _ => None,
        };
        let id = JobId::new();
        if let Ok(plan) = plan
            && let Some(job) = self.record_at_once(operations, id, plan).await?
        {
            return Ok(Committed::New(job, plan));
        }
        self.record_in_turn(operations, id, plan).await
    }

    /// Records a request of a team without a quota, if its key is new, in one statement. Returns `None`, and writes
    /// nothing, for any other request.
    async fn record_at_once(
        &self,
        operations: &Operations<'_>,
        id: JobId,
        plan: &Admissible,
    ) -> Result<Option<Job>, CommitError> {
        let (None, Ok(admission), Ok(_)) = (plan.team.max_runners, &plan.admission, &plan.starts_in) else {
            return Ok(None);
        };
        // A ticket is locked and marked in the same transaction.
        if self.redemption.is_some() {
            return Ok(None);
        }
        let rows = self.rows(id, &plan.team, admission);
        let mut conn = operations.store.conn().await?;
        Ok(match self.keyed_request(rows.asked_by.as_deref()) {
            Some(key) => rows.insert_keyed(conn.jobs(), &key).await?,
            None => Some(rows.insert(conn.jobs()).await?),
        })
    }

    /// Looks at the key, the policy, the quota and the expected start in this order, and records the request.
    async fn record_in_turn<'p>(
        &self,
        operations: &Operations<'_>,
        id: JobId,
        plan: &'p Result<Admissible, Problem>,
    ) -> Result<Committed<'p>, CommitError> {
        let mut tx = operations.store.begin_briefly().await?;
        if let Some(before) = self.take_key(&mut tx, id).await? {
            return Ok(Committed::Earlier(before));
        }
        let plan = plan.as_ref().map_err(Clone::clone)?;
        let admission = plan.admission.as_ref().map_err(Clone::clone)?;
        check_quota(&mut tx, &plan.team).await?;
        plan.starts_in.as_ref().map_err(Clone::clone)?;
        let job = self.rows(id, &plan.team, admission).insert(tx.jobs()).await?;
        if let Some(redemption) = &self.redemption {
            redemption.record(&mut tx, &self.by, &job).await?;
        }
        tx.commit().await?;
        Ok(Committed::New(job, plan))
    }

    /// Checks the request as it would be checked now, apart from the quota. Returns its team.
    ///
    /// # Errors
    /// The refusals of the caller, the team and its policy; database errors.
    pub(crate) async fn check_policy(
        &self,
        operations: &Operations<'_>,
        rules: &ProvisionRules<'_>,
    ) -> Result<TeamId> {
        let Admissible { team, admission, .. } = self.check(operations, rules).await?;
        admission?;
        Ok(team.id)
    }

    /// Determines the team, the policy's decision and the expected start.
    async fn check(&self, operations: &Operations<'_>, rules: &ProvisionRules<'_>) -> Result<Admissible> {
        let (kind, tokens) = (self.registration.kind(), rules.registration_tokens);
        let team_id = self.by.caller.check_request(kind, tokens, self.team).admit()?;
        let team = operations.store.conn().await?.teams().policy_on(team_id, &self.request.labels).await?;
        let team = team.ok_or_else(Problem::unknown_team)?;
        let starts_in = queueing::estimate_start(operations.queue, &team, kind).await;
        // This is not done beside the quota check: it takes time, and other requests would wait for the lock.
        let admission = team.check(&self.request, rules.default_group(&team.installation)).admit();
        Ok(Admissible { team, admission, starts_in })
    }

    /// Returns the rows of the request and its job.
    fn rows(&self, id: JobId, team: &Team, admission: &Admission) -> RequestRows {
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
        let job = NewJob {
            id,
            installation: team.installation.clone(),
            team: Some(team.id),
            requester: Some(self.by.caller.requester),
            runner: Some(runner.id),
            call: None,
            params: match self.registration {
                Registration::Jit => self.jit_params(),
                Registration::Token { .. } => JobParams::Register,
            },
            trace: self.by.origin.trace.clone(),
        };
        let mut data =
            json!({ "labels": admission.labels(), "runner_group_id": admission.runner_group_id() });
        if self.sealing_key.is_some() {
            data["sealed_to_requester"] = json!(true);
        }
        let entry = AuditEntry { data, ..self.by.entry(self.registration.event_type()) };
        RequestRows::new(runner, job, self.by.subject().map(Principal::fingerprint), entry)
    }

    fn jit_params(&self) -> JobParams {
        let (name, work_folder) = (self.request.name.clone(), self.request.work_folder.clone());
        match self.sealing_key {
            Some(sealing_key) => JobParams::SealedProvision { name, work_folder, sealing_key },
            None => JobParams::Provision { name, work_folder },
        }
    }
}
