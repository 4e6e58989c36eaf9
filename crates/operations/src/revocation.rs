//! Ending an access: open jobs are cancelled and configs shredded in the transaction that ends it; the queue is told
//! afterwards.

use domain::{Job, JobId, JobKind, JobParams, JobState, Problem, ReclaimReason, Removal, Requester, TeamId};
use futures::{StreamExt, stream};
use queue::{Queue, Ticket};
use serde_json::{Value, json};
use store::{NewJob, RevokedAccess, Tx, UnreadRunner};

use crate::{
    Administrator, Operations, Result,
    jobs::service_job,
    record::{comment, extend},
    validate::check_reason,
};

/// Cancelled jobs that the queue is told of at a time.
const CONCURRENT_NEWS: usize = 16;

/// The kinds of jobs that make runners.
const RUNNER_KINDS: [JobKind; 2] = [JobKind::Provision, JobKind::Register];

/// Which access ends, and what the jobs it ends say.
#[derive(Clone, Debug)]
pub(crate) struct Revocation {
    access: RevokedAccess,
    /// The result of the open jobs; none leaves them to the worker, which reads the access again.
    problem: Option<Problem>,
    detail: &'static str,
}

impl Revocation {
    /// A user or machine client may do nothing any more.
    pub(crate) fn of_requester(requester: Requester, detail: &'static str) -> Self {
        Self::new(Some(requester), None, &RUNNER_KINDS, (Some(Problem::requester_inactive()), detail))
    }

    /// A user is a viewer from now on.
    pub(crate) fn of_viewer(requester: Requester) -> Self {
        Self::new(
            Some(requester),
            None,
            &RUNNER_KINDS,
            (Some(Problem::read_only()), "its requester is a viewer now"),
        )
    }

    /// A user may not have runners of these kinds any more.
    pub(crate) fn of_kind(requester: Requester, kind: JobKind) -> Self {
        let problem = if kind == JobKind::Register {
            Problem::registration_token_not_allowed()
        } else {
            Problem::jit_not_allowed()
        };
        Self::new(Some(requester), None, &[kind], (Some(problem), "its requester may not have it any more"))
    }

    /// A user is not a member of a team any more. Their open jobs stay theirs to see, and fail when their turn comes.
    pub(crate) fn of_member(requester: Requester, team: TeamId) -> Self {
        let detail = "its requester left the team";
        Self::new(Some(requester), Some(team), &RUNNER_KINDS, (None, detail))
    }

    /// A team gets no runners any more.
    pub(crate) fn of_team(team: TeamId, reason: Option<&str>) -> Self {
        let detail = "its team was deactivated";
        Self::new(None, Some(team), &RUNNER_KINDS, (Some(Problem::team_inactive(reason)), detail))
    }

    /// Every config that is still there, whoever asked for it.
    fn of_all_configs() -> Self {
        Self::new(None, None, &RUNNER_KINDS, (None, "all configs were shredded"))
    }

    fn new(
        requester: Option<Requester>,
        team: Option<TeamId>,
        kinds: &[JobKind],
        (problem, detail): (Option<Problem>, &'static str),
    ) -> Self {
        Self { access: RevokedAccess { requester, team, kinds: kinds.to_vec() }, problem, detail }
    }

    /// Cancels the open jobs and shreds the configs. A runner whose config nobody had read is removed: it could never be
    /// started, and would keep its place in the quota until its time is over.
    pub(crate) async fn apply(&self, tx: &mut Tx) -> Result<Revoked> {
        let cancelled = match &self.problem {
            Some(problem) => tx.revocations().cancel_jobs(&self.access, problem, self.detail).await?,
            None => Vec::new(),
        };
        let configs = tx.revocations().shred_configs(&self.access, self.detail).await?;
        let removals: Vec<NewJob> =
            configs.unread.iter().filter(|runner| runner.on_github).map(removal).collect();
        let removals = tx.jobs().insert_new(&removals).await?;
        Ok(Revoked { access: subject(&self.access), cancelled, shredded: configs.count, removals })
    }
}

impl Operations<'_> {
    /// Shreds every config that nobody has collected, and removes the runners they were for: for the day a key or a
    /// database has leaked. Returns how many configs were shredded. Jobs go on and make new configs.
    ///
    /// # Errors
    /// `validation_failed`.
    pub async fn shred_all_configs(&self, admin: &Administrator, reason: Option<&str>) -> Result<usize> {
        check_reason("/comment", reason)?;
        let mut tx = self.store.begin().await?;
        let revoked = Revocation::of_all_configs().apply(&mut tx).await?;
        let mut details = comment(reason);
        extend(&mut details, revoked.details());
        tx.audit().write(&admin.record("credential.shred", None, details)).await?;
        tx.commit().await?;
        let count = revoked.shredded;
        revoked.publish(self.queue).await;
        Ok(count)
    }
}

/// The id of the person, machine client or team whose access ends.
fn subject(access: &RevokedAccess) -> Option<String> {
    match (access.requester, access.team) {
        (Some(Requester::User(id)), _) => Some(id.to_string()),
        (Some(Requester::Client(id)), _) => Some(id.to_string()),
        (None, team) => team.map(|team| team.to_string()),
    }
}

fn removal(runner: &UnreadRunner) -> NewJob {
    let params = JobParams::Deprovision(Removal::Leftover { why: ReclaimReason::Unused });
    service_job(&runner.installation, Some(runner.team), Some(runner.id), params)
}

/// What a revocation ended.
#[derive(Debug, Default)]
pub(crate) struct Revoked {
    /// Whose streams and waiting requests ask again whether they may go on.
    access: Option<String>,
    cancelled: Vec<JobId>,
    shredded: usize,
    removals: Vec<Job>,
}

impl Revoked {
    /// Nothing is ended yet, but the rights of this person, machine client or team have changed.
    pub(crate) fn nothing_of(subject: &impl ToString) -> Self {
        Self { access: Some(subject.to_string()), ..Self::default() }
    }

    /// Whether there was anything to end.
    pub(crate) fn is_empty(&self) -> bool {
        self.cancelled.is_empty() && self.shredded == 0
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.access = self.access.take().or(other.access);
        self.cancelled.extend(other.cancelled);
        self.shredded += other.shredded;
        self.removals.extend(other.removals);
    }

    /// Its part of an audit row.
    pub(crate) fn details(&self) -> Value {
        json!({ "revoked": { "cancelled_jobs": self.cancelled.len(), "shredded_configs": self.shredded,
            "removed_runners": self.removals.len() } })
    }

    /// Tells the queue, once the transaction is committed. Without it everything still happens: workers and waiting
    /// requests read the rows, and the sweep puts the removals into the queue.
    pub(crate) async fn publish(self, queue: &Queue) {
        if let Some(subject) = &self.access
            && let Err(error) = queue.announce_access(subject).await
        {
            tracing::warn!(%error, "the queue is unavailable; streams ask for their rights within half a minute");
        }
        let news = self.cancelled.into_iter().map(|job| async move {
            queue.cancel(job).await?;
            queue.announce(job, JobState::Cancelled.as_str()).await
        });
        let mut news = stream::iter(news).buffer_unordered(CONCURRENT_NEWS);
        while let Some(told) = news.next().await {
            if let Err(error) = told {
                tracing::warn!(%error, "the queue is unavailable; it learns of cancelled jobs when they are claimed");
                return;
            }
        }
        drop(news);
        let tickets: Vec<Ticket> = self.removals.iter().map(|job| Ticket::for_job(job, 1.0)).collect();
        if let Err(error) = queue.enqueue(&tickets).await {
            tracing::warn!(%error, "the queue is unavailable; the removals wait for the next sweep");
        }
    }
}
