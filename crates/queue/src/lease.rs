//! Who runs what, and until when.

use std::{fmt, sync::Arc, time::Duration};

use domain::{InstallationId, JobId, Lane};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::QueueError;

/// One taker of jobs. Clones are the same taker; claims of one taker follow each other, never overlap.
#[derive(Clone)]
pub struct Claimer {
    name: Arc<str>,
    /// How long a lease lasts if it is not renewed.
    pub lease: Duration,
    pub(crate) request: Arc<Mutex<u64>>,
}

impl Claimer {
    /// A new taker. `owner` should say where it runs (letters, digits and dashes survive, 64 at most); what makes
    /// its leases its own is added here.
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

/// Proof that a lease is ours: another claim of the same job has another token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseToken(pub(crate) Arc<str>);

/// One job, ours until the lease ends.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// Proof that it is ours.
    pub token: LeaseToken,
    /// Whose budget it uses.
    pub installation: InstallationId,
    /// The lane it came from.
    pub lane: Lane,
    /// How often it was started, this start included. Counts from anew after a loss of Redis.
    pub claims: u32,
    /// How often a holder let the lease run out since the last one snoozed the job. Counts from anew after a loss of
    /// Redis.
    pub rescues: u32,
    /// What a lost Redis needs to have the job back: team, rank, accepted ms, half-deadline ms, cost.
    pub(crate) standing: [String; 5],
}

/// A lease as the claim script tells it.
pub(crate) type LeaseRow = (String, String, String, String, String, String, String, u32, u32, String);

impl Lease {
    pub(crate) fn read(row: LeaseRow, token: &LeaseToken) -> Result<Self, QueueError> {
        let (job, installation, lane, rank, accepted, half, cost, claims, rescues, team) = row;
        Ok(Self {
            job: job.parse().map_err(|_| QueueError::Unexpected("a job id"))?,
            token: token.clone(),
            installation: installation.parse().map_err(|_| QueueError::Unexpected("an installation"))?,
            lane: lane.parse().map_err(|_| QueueError::Unexpected("a lane"))?,
            claims,
            rescues,
            standing: [team, rank, accepted, half, cost],
        })
    }

    /// Whether the last holder gave the job back, which the dead do not do. False when nobody knows.
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
        args.extend(self.standing.iter().cloned());
        args.extend([self.claims.to_string(), self.rescues.to_string()]);
        args
    }
}

/// What a claim brought.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The jobs, leased.
    pub jobs: Vec<Lease>,
    /// How long nothing is expected to happen unless the bell rings; zero when more may be ready now.
    pub wait: Duration,
}

/// Longest delay between two starts.
const MAX_SNOOZE: Duration = Duration::from_hours(30 * 24);

/// How a lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// The job is done with; the queue forgets it.
    Finish,
    /// Start again after this delay (30 days at most), with the old rank.
    Snooze(Duration),
    /// Start again at once, with the old rank.
    Release,
}

impl Settle {
    pub(crate) const fn word(self) -> &'static str {
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

/// What became of a wish to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It waited; it is gone from the queue.
    Removed,
    /// A worker holds it; nothing was changed.
    Leased,
    /// The queue does not hold it.
    Unknown,
}
