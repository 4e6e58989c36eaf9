//! Picture of the service at one moment: the facts that a verdict is made from.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{InstallationId, Lane};

/// State of the whole service at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Time of the picture, by the database's clock.
    pub at: DateTime<Utc>,
    /// Whether the database answered; if not, only this field and `at` say anything.
    pub database_answers: bool,
    /// State of the queue; `None` if Redis did not answer.
    pub queue: Option<QueuePicture>,
    /// Time for which this process has got no answer from Redis; `None` while Redis answers.
    pub queue_away_for: Option<Duration>,
    /// Installations that GitHub has suspended or whose App it refuses, by name.
    pub installations: Vec<InstallationPicture>,
    /// Workers seen in the last hour.
    pub workers: Vec<WorkerPicture>,
    /// Whether any job started or ended in the last minute.
    pub moved_lately: bool,
    /// Sync runs of all installations.
    pub syncs: Vec<SyncPicture>,
    /// The scheduler that led last; `None` if there was none yet.
    pub leader: Option<LeaderPicture>,
    /// Number of jobs that ended in the last minute.
    pub ended_last_minute: u64,
    /// Severe security events that no admin has acknowledged.
    pub events: UnacknowledgedEvents,
}

/// State of the queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueuePicture {
    /// Lanes of all installations with jobs.
    pub lanes: Vec<LanePicture>,
    /// Current pauses.
    pub pauses: Vec<PausePicture>,
    /// Budgets, by installation.
    pub budgets: Vec<BudgetPicture>,
    /// For each installation, the team with most waiting jobs.
    pub teams: Vec<TeamPicture>,
}

/// Depth of one lane of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanePicture {
    /// The installation.
    pub installation: InstallationId,
    /// The lane.
    pub lane: Lane,
    /// Jobs that may start.
    pub waiting: u64,
    /// Jobs that may not start yet.
    pub delayed: u64,
    /// Jobs that workers hold.
    pub running: u64,
    /// Age of the oldest waiting job.
    pub oldest: Duration,
}

/// Object of a pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PauseScope {
    /// All lanes of one installation.
    Installation(InstallationId),
    /// One lane of every installation.
    Lane(Lane),
}

/// Cause of a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseCause {
    /// The hourly window is used up.
    Window,
    /// GitHub does not answer properly.
    Outage,
    /// GitHub reported a secondary limit.
    SecondaryLimit,
    /// An admin paused it.
    Admin,
    /// GitHub suspended the installation.
    Suspended,
    /// GitHub refuses the calls of one App of a pool.
    Refused,
}

/// A pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PausePicture {
    /// The paused object.
    pub scope: PauseScope,
    /// Cause of the pause.
    pub cause: PauseCause,
    /// Remaining time.
    pub left: Duration,
    /// Identity of the admin.
    pub by: Option<String>,
    /// Reason the admin gave.
    pub reason: Option<String>,
}

/// State of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerPicture {
    /// GitHub answers.
    Closed,
    /// No request is sent for this time.
    Open(Duration),
    /// The answer to the next request decides.
    HalfOpen,
}

/// One hourly window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowPicture {
    /// `x-ratelimit-resource`.
    pub resource: String,
    /// Requests in a whole window.
    pub limit: u64,
    /// Requests left.
    pub remaining: u64,
    /// Time until the next window.
    pub reset_in: Duration,
}

/// Budget of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetPicture {
    /// The installation.
    pub installation: InstallationId,
    /// Its App pool; itself if it is alone or the first of its pool.
    pub pool: InstallationId,
    /// State of the circuit breaker.
    pub breaker: BreakerPicture,
    /// Known hourly windows.
    pub windows: Vec<WindowPicture>,
    /// The endpoint with most points used in the last minute, and their number.
    pub points: Option<(String, u64)>,
    /// Points of one minute and endpoint; `None` without limits.
    pub points_limit: Option<u64>,
    /// Runners registered in the last period.
    pub registrations: u64,
    /// Registrations of one period; `None` without limits.
    pub registrations_limit: Option<u64>,
    /// Allowed writes a minute.
    pub writes_per_minute: u64,
}

/// The team with most waiting jobs of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamPicture {
    /// The installation.
    pub installation: InstallationId,
    /// Name of the team.
    pub team: String,
    /// Waiting jobs of the team, delayed ones included.
    pub waiting: u64,
    /// Those of them that the team's own limit holds.
    pub held: u64,
    /// Jobs of all teams that their own limits hold.
    pub held_in_all: u64,
}

/// An installation that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallationPicture {
    /// The installation.
    pub installation: InstallationId,
    /// Whether GitHub has suspended it.
    pub suspended: bool,
    /// GitHub's refusal of the App, if calls are refused until an operator acts.
    pub refusal: Option<String>,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerPicture {
    /// Name of the worker.
    pub name: String,
    /// Time of its last heartbeat.
    pub heartbeat_at: DateTime<Utc>,
    /// Whether it is alive and takes jobs.
    pub takes_jobs: bool,
    /// Jobs it may run at once.
    pub slots: u64,
    /// Installations it has a credential for; `None` if it does not say.
    pub installations: Option<Vec<String>>,
}

/// Sync runs of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncPicture {
    /// The installation.
    pub installation: String,
    /// Interval between two runs.
    pub interval: Duration,
    /// End of the last run of any kind.
    pub last: Option<DateTime<Utc>>,
    /// Removals held until an admin approves them.
    pub held: u64,
}

/// The scheduler that leads, or led last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderPicture {
    /// Whether its lease has not ended.
    pub leads: bool,
    /// Time of the last renewal.
    pub renewed_at: DateTime<Utc>,
}

/// Numbers of severe security events that no admin has acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnacknowledgedEvents {
    /// Critical events.
    pub critical: u64,
    /// Events of high severity.
    pub high: u64,
}

impl Picture {
    /// Returns the picture of a service whose database does not answer.
    pub fn without_database(at: DateTime<Utc>) -> Self {
        Self {
            at,
            database_answers: false,
            queue: None,
            queue_away_for: None,
            installations: Vec::new(),
            workers: Vec::new(),
            moved_lately: false,
            syncs: Vec::new(),
            leader: None,
            ended_last_minute: 0,
            events: UnacknowledgedEvents::default(),
        }
    }
}

impl QueuePicture {
    /// Returns the waiting jobs of an installation, or of all.
    pub(super) fn waiting(&self, of: Option<&InstallationId>) -> u64 {
        self.lanes_of(of).map(|lane| lane.waiting).sum()
    }

    /// Returns the waiting and delayed jobs of an installation.
    pub(super) fn unstarted(&self, of: &InstallationId) -> u64 {
        self.lanes_of(Some(of)).map(|lane| lane.waiting + lane.delayed).sum()
    }

    /// Returns the age of the oldest waiting job of an installation, or of all.
    pub(super) fn oldest(&self, of: Option<&InstallationId>) -> Duration {
        self.lanes_of(of)
            .filter(|lane| lane.waiting > 0)
            .map(|lane| lane.oldest)
            .max()
            .unwrap_or(Duration::ZERO)
    }

    /// Returns the pool if another App of it works: then the jobs that this installation cannot take go on.
    pub fn pool_goes_on(&self, without: &InstallationId) -> Option<&InstallationId> {
        self.pool_goes_on_with(without, |_| true)
    }

    /// Returns the pool if another App of it works that `may` names.
    pub(super) fn pool_goes_on_with(
        &self,
        without: &InstallationId,
        may: impl Fn(&InstallationId) -> bool,
    ) -> Option<&InstallationId> {
        let pool = &self.budgets.iter().find(|budget| budget.installation == *without)?.pool;
        let works = |budget: &&BudgetPicture| {
            budget.pool == *pool
                && budget.installation != *without
                && budget.breaker == BreakerPicture::Closed
                && budget.windows.iter().all(|window| window.remaining > 0)
                && self.causes(&budget.installation).next().is_none()
                && may(&budget.installation)
        };
        self.budgets.iter().find(works).map(|_| pool)
    }

    fn lanes_of<'a>(&'a self, of: Option<&'a InstallationId>) -> impl Iterator<Item = &'a LanePicture> {
        self.lanes.iter().filter(move |lane| of.is_none_or(|of| lane.installation == *of))
    }
}
