//! Revocation of access. Open jobs are cancelled and configs shredded in the transaction that ends the access; the
//! queue is informed after the commit.

use domain::{Job, JobId, JobKind, JobParams, JobState, Problem, ReclaimReason, Removal, Requester, TeamId};
use futures::{StreamExt, stream};
use queue::{Queue, Ticket};
use serde_json::{Value, json};
use store::{NewJob, RevokedAccess, TicketsOf, Tx, UnreadRunner};

use crate::{
    Administrator, Operations, Result,
    jobs::service_job,
    record::{comment, extend},
    validate::check_reason,
};

/// Most cancelled jobs that are sent to the queue at a time.
const MAX_CONCURRENT_MESSAGES: usize = 16;

/// The kinds of jobs that make runners.
const RUNNER_KINDS: [JobKind; 2] = [JobKind::Provision, JobKind::Register];

/// The access to revoke, and the result of its jobs.
#[derive(Clone, Debug)]
pub(crate) struct Revocation {
    access: RevokedAccess,
    /// Result of the open jobs; `None` leaves them to the worker, which reads the permissions again.
    problem: Option<Problem>,
    detail: &'static str,
}

impl Revocation {
    /// The access of a user or machine client that is deactivated.
    pub(crate) fn of_requester(requester: Requester, detail: &'static str) -> Self {
        let access = access(Some(requester), None, &RUNNER_KINDS);
        Self { access, problem: Some(Problem::requester_inactive()), detail }
    }

    /// The access that a user loses as a viewer.
    pub(crate) fn of_viewer(requester: Requester) -> Self {
        let access = access(Some(requester), None, &RUNNER_KINDS);
        Self { access, problem: Some(Problem::read_only()), detail: "its requester is a viewer now" }
    }

    /// The access of a user to runners of one kind.
    pub(crate) fn of_kind(requester: Requester, kind: JobKind) -> Self {
        let problem = if kind == JobKind::Register {
            Problem::registration_token_not_allowed()
        } else {
            Problem::jit_not_allowed()
        };
        let access = access(Some(requester), None, &[kind]);
        Self { access, problem: Some(problem), detail: "its requester lost the permission" }
    }

    /// The access of a user to a team. Open jobs stay visible to the user and fail when they start.
    pub(crate) fn of_member(requester: Requester, team: TeamId) -> Self {
        let access = access(Some(requester), Some(team), &RUNNER_KINDS);
        Self { access, problem: None, detail: "its requester left the team" }
    }

    /// The access of a deactivated team.
    pub(crate) fn of_team(team: TeamId, reason: Option<&str>) -> Self {
        let access = access(None, Some(team), &RUNNER_KINDS);
        Self { access, problem: Some(Problem::team_inactive(reason)), detail: "its team was deactivated" }
    }

    /// All stored configs, of every requester.
    fn of_all_configs() -> Self {
        let access = access(None, None, &RUNNER_KINDS);
        Self { access, problem: None, detail: "all configs were shredded" }
    }

    /// Cancels the open jobs and shreds the configs. A runner whose config was shredded unread is removed: it could
    /// never start, and would use up quota until it expires.
    pub(crate) async fn apply(&self, tx: &mut Tx) -> Result<Revoked> {
        let cancelled = match &self.problem {
            Some(problem) => tx.revocations().cancel_jobs(&self.access, problem, self.detail).await?,
            None => Vec::new(),
        };
        let whose = TicketsOf { requester: self.access.requester, team: self.access.team };
        // When all configs are shredded, no access ends.
        let is_access = whose.requester.is_some() || whose.team.is_some();
        let tickets = if is_access && self.access.kinds.contains(&JobKind::Provision) {
            tx.claim_tickets().revoke_of(whose).await?
        } else {
            0
        };
        let configs = tx.revocations().shred_configs(&self.access, self.detail).await?;
        let removals: Vec<NewJob> =
            configs.unread.iter().filter(|runner| runner.on_github).map(removal).collect();
        let removals = tx.jobs().insert_new(&removals).await?;
        Ok(Revoked {
            access: subject(&self.access),
            cancelled,
            tickets,
            shredded: configs.count,
            removals,
            unreadable: configs.unreadable,
        })
    }
}

impl Operations<'_> {
    /// Cancels the open requests of a requester and shreds their configs. They keep their account.
    ///
    /// # Errors
    /// Database errors.
    pub(crate) async fn end_requests(
        &self,
        admin: &Administrator,
        requester: Requester,
        reason: &str,
    ) -> Result<()> {
        let mut tx = self.store.begin().await?;
        let revoked = Revocation::of_requester(requester, "its issuer was blocked").apply(&mut tx).await?;
        if !revoked.is_empty() {
            let mut details = json!({ "requester": requester.to_string(), "comment": reason });
            extend(&mut details, revoked.details());
            tx.audit().write(&admin.record("requests.end", None, details)).await?;
        }
        tx.commit().await?;
        revoked.publish(self.queue).await;
        Ok(())
    }

    /// Shreds every config that has not been handed out for good, and removes the runners of unread ones. It is meant
    /// for a leaked key or database. Returns how many configs were shredded. Jobs continue and make new configs.
    ///
    /// # Errors
    /// `validation_failed` for an invalid reason; database errors.
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

fn access(requester: Option<Requester>, team: Option<TeamId>, kinds: &[JobKind]) -> RevokedAccess {
    RevokedAccess { requester, team, kinds: kinds.to_vec() }
}

/// Returns the id of the user, machine client or team whose access ends.
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

/// Result of a revocation, to publish after the commit.
#[derive(Debug, Default)]
pub(crate) struct Revoked {
    /// Subject whose streams and waiting requests must check their permissions again.
    access: Option<String>,
    cancelled: Vec<JobId>,
    /// Number of revoked claim tickets.
    tickets: u64,
    shredded: usize,
    removals: Vec<Job>,
    /// Number of runners that should be removed, but whose row only a newer version can read.
    unreadable: usize,
}

impl Revoked {
    /// A change of the rights of this user, machine client or team that ends no job or config.
    pub(crate) fn nothing_of(subject: &impl ToString) -> Self {
        Self { access: Some(subject.to_string()), ..Self::default() }
    }

    /// Returns whether nothing was revoked.
    pub(crate) fn is_empty(&self) -> bool {
        self.cancelled.is_empty() && self.shredded == 0 && self.tickets == 0
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.access = self.access.take().or(other.access);
        self.cancelled.extend(other.cancelled);
        self.shredded += other.shredded;
        self.tickets += other.tickets;
        self.removals.extend(other.removals);
        self.unreadable += other.unreadable;
    }

    /// Returns the details of an audit row.
    pub(crate) fn details(&self) -> Value {
        let mut revoked = json!({ "cancelled_jobs": self.cancelled.len(), "shredded_configs": self.shredded,
            "removed_runners": self.removals.len() });
        if self.tickets > 0 {
            extend(&mut revoked, json!({ "revoked_tickets": self.tickets }));
        }
        if self.unreadable > 0 {
            extend(&mut revoked, json!({ "runners_left_to_a_newer_version": self.unreadable }));
        }
        json!({ "revoked": revoked })
    }

    /// Informs the queue after the commit. If that fails, the revocation still takes effect: workers and waiting
    /// requests read the rows, and the requeue step enqueues the removals.
    pub(crate) async fn publish(self, queue: &Queue) {
        if let Some(subject) = &self.access
            && let Err(error) = queue.announce_access(subject).await
        {
            tracing::warn!(%error, "queue unavailable; streams check their permissions within 30 s");
        }
        let messages = self.cancelled.into_iter().map(|job| async move {
            queue.cancel(job).await?;
            queue.announce(job, JobState::Cancelled.as_str()).await
        });
        let mut messages = stream::iter(messages).buffer_unordered(MAX_CONCURRENT_MESSAGES);
        while let Some(sent) = messages.next().await {
            if let Err(error) = sent {
                tracing::warn!(%error, "queue unavailable; cancelled jobs are dropped when they are claimed");
                return;
            }
        }
        drop(messages);
        let tickets: Vec<Ticket> = self.removals.iter().map(|job| Ticket::for_job(job, 1.0)).collect();
        if let Err(error) = queue.enqueue(&tickets).await {
            tracing::warn!(%error, "queue unavailable; the removals are enqueued by the next requeue");
        }
    }
}
