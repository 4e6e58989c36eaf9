//! Leases: claimed jobs, the proof of ownership and the ways a lease ends.

use std::{fmt, sync::Arc, time::Duration};

use domain::{InstallationId, JobId, Lane};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::QueueError;

/// A claimer of jobs. Clones share its identity, and their claims run one after another.
#[derive(Clone)]
pub struct Claimer {
    name: Arc<str>,
    /// Time until a lease ends unless it is renewed.
    pub lease: Duration,
    pub(crate) request: Arc<Mutex<u64>>,
}

impl Claimer {
    /// Returns a new claimer. `owner` names its host or process (letters, digits and dashes are kept, 64 at most); a
    /// random suffix makes it unique.
    pub fn new(owner: &str, lease: Duration) -> Self {
        let owner: String =
            owner.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
        let name = format!("{owner}.{}", Uuid::new_v4().simple());
        Self { name: name.into(), lease, request: Arc::default() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Claimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claimer")
            .field("name", &self.name)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// Proof of ownership of a lease: another claim of the job has another token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseToken(pub(crate) Arc<str>);

/// A job that we own until the lease ends.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// Proof of ownership.
    pub token: LeaseToken,
    /// Installation whose job it is; in an App pool the name of the pool.
    pub installation: InstallationId,
    /// Installation whose budget pays for it: `installation`, or a further App of its pool.
    pub app: InstallationId,
    /// Its lane.
    pub lane: Lane,
    /// Number of starts, this one included. A loss of Redis resets it.
    pub claims: u32,
    /// Number of leases that expired since the job was last snoozed. A loss of Redis resets it.
    pub rescues: u32,
    /// Values that restore the job after a loss of Redis: team, rank, accepted ms, half-deadline ms, cost.
    pub(crate) restore_args: [String; 5],
}

/// A lease as the claim script returns it.
pub(crate) type LeaseRow = (String, String, String, String, String, String, String, u32, u32, String, String);

impl Lease {
    pub(crate) fn read(row: LeaseRow, token: &LeaseToken) -> Result<Self, QueueError> {
        let (job, installation, lane, rank, accepted, half, cost, claims, rescues, team, app) = row;
        let id = |name: &str| name.parse().map_err(|_| QueueError::Unexpected("an installation"));
        Ok(Self {
            job: job.parse().map_err(|_| QueueError::Unexpected("a job id"))?,
            token: token.clone(),
            app: id(if app.is_empty() { &installation } else { &app })?,
            installation: id(&installation)?,
            lane: lane.parse().map_err(|_| QueueError::Unexpected("a lane"))?,
            claims,
            rescues,
            restore_args: [team, rank, accepted, half, cost],
        })
    }

    /// Whether the last holder returned the job, which a crashed one does not. False if that is unknown.
    pub fn was_given_back(&self) -> bool {
        self.claims > 1 && self.rescues == 0
    }

    pub(crate) fn args(&self) -> Vec<String> {
        let mut args = vec![
            self.job.to_string(),
            self.token.0.to_string(),
            self.installation.to_string(),
            self.lane.to_string(),
        ];
        args.extend(self.restore_args.iter().cloned());
        args.extend([self.claims.to_string(), self.rescues.to_string()]);
        let further = self.app != self.installation;
        args.push(if further { self.app.to_string() } else { String::new() });
        args
    }
}

/// Result of a claim.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The leased jobs.
    pub jobs: Vec<Lease>,
    /// Time until the next expected event unless a wake-up arrives; zero if more jobs may be ready now.
    pub wait: Duration,
}

/// Longest delay between two starts.
const MAX_SNOOZE: Duration = Duration::from_hours(30 * 24);

/// End of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// The job is finished; the queue removes it.
    Finish,
    /// Start again after this delay (30 days at most), with the old rank.
    Snooze(Duration),
    /// Start again at once, with the old rank.
    Release,
}

impl Settle {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Finish => "finish",
            Self::Snooze(_) => "snooze",
            Self::Release => "release",
        }
    }

    pub(crate) const fn delay(self) -> Duration {
        match self {
            Self::Snooze(delay) if delay.as_secs() < MAX_SNOOZE.as_secs() => delay,
            Self::Snooze(_) => MAX_SNOOZE,
            Self::Finish | Self::Release => Duration::ZERO,
        }
    }
}

/// Result of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The job was waiting and is removed from the queue.
    Removed,
    /// A worker holds it; nothing was changed.
    Leased,
    /// The queue does not hold it.
    Unknown,
}
