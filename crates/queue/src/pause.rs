//! Pauses: reason, scope and remaining time.

use std::{fmt, time::Duration};

pub use domain::PauseScope as Scope;
use domain::{InstallationId, Lane};

use crate::{Queue, QueueError, queue::millis, readable::readable, scripts};

/// Longest pause.
pub(crate) const MAX_PAUSE: Duration = Duration::from_hours(30 * 24);

/// Reason of a pause. Each reason has a pause of its own; the longest applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The primary window is used up.
    Budget,
    /// GitHub does not respond, or responds with 5xx.
    GithubOutage,
    /// GitHub reported a secondary limit.
    SecondaryLimit,
    /// An administrator paused it. The first App of a pool stands for the whole pool.
    Admin,
    /// GitHub suspended the installation. An earlier version wrote [`Self::Admin`].
    Suspended,
    /// GitHub refuses the calls of one App of a pool until an operator acts.
    Refused,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::Budget, Self::GithubOutage, Self::SecondaryLimit, Self::Admin, Self::Suspended, Self::Refused];

    pub(crate) fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// Returns the reason as used in keys and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::GithubOutage => "github_outage",
            Self::SecondaryLimit => "secondary_limit",
            Self::Admin => "admin",
            Self::Suspended => "suspended",
            Self::Refused => "refused",
        }
    }

    /// Whether the pause stops running jobs too: one request is sent first after it, as a probe.
    pub const fn stops_requests(self) -> bool {
        !matches!(self, Self::Admin | Self::Suspended)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reason and remaining time of a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The reason.
    pub reason: Reason,
    /// Remaining time.
    pub left: Duration,
}

/// A pause with its scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paused {
    /// The paused object.
    pub scope: Scope,
    /// Reason and remaining time.
    pub pause: Pause,
}

impl Queue {
    /// Pauses an installation for `duration`, at most 30 days. No claim takes its jobs, and no running job gets a
    /// permit if the reason stops requests ([`Reason::stops_requests`]). Never shortens a pause; returns its remaining
    /// time.
    pub async fn pause(
        &self,
        installation: &InstallationId,
        duration: Duration,
        reason: Reason,
    ) -> Result<Duration, QueueError> {
        let probe = if reason.stops_requests() { installation.as_str() } else { "" };
        self.set_pause(format!("i:{installation}:{reason}"), duration, probe).await
    }

    /// Lifts the pause with this reason; the others stay.
    pub async fn resume(&self, installation: &InstallationId, reason: Reason) -> Result<(), QueueError> {
        self.set_pause(format!("i:{installation}:{reason}"), Duration::ZERO, "").await.map(drop)
    }

    /// Pauses one lane of all installations for `duration`, at most 30 days, with [`Reason::Admin`]. Never shortens a
    /// pause; returns its remaining time.
    pub async fn pause_lane(&self, lane: Lane, duration: Duration) -> Result<Duration, QueueError> {
        self.set_pause(format!("l:{lane}"), duration, "").await
    }

    /// Lifts a lane's pause.
    pub async fn resume_lane(&self, lane: Lane) -> Result<(), QueueError> {
        self.set_pause(format!("l:{lane}"), Duration::ZERO, "").await.map(drop)
    }

    /// Returns the Apps of a pool that no pause stops, whichever processes have their credentials; none if an
    /// administrator has paused the pool.
    pub async fn usable_apps(&self, pool: &InstallationId) -> Result<Vec<InstallationId>, QueueError> {
        let names: Vec<String> = self.run(&scripts::USABLE_APPS, &[pool.to_string()]).await?;
        Ok(readable(
            names.iter().map(|name| name.parse().map_err(|_| QueueError::Unexpected("an installation"))),
        ))
    }

    /// Returns every current pause.
    pub async fn pauses(&self) -> Result<Vec<Paused>, QueueError> {
        let rows: Vec<(String, u64)> = self.run(&scripts::PAUSES, &[]).await?;
        Ok(readable(rows.into_iter().map(|(scope, left)| read(&scope, Duration::from_millis(left)))))
    }

    async fn set_pause(
        &self,
        scope: String,
        duration: Duration,
        probe: &str,
    ) -> Result<Duration, QueueError> {
        let args = [scope, millis(duration.min(MAX_PAUSE)).to_string(), probe.to_owned()];
        let left: u64 = self.run(&scripts::PAUSE, &args).await?;
        Ok(Duration::from_millis(left))
    }
}

fn read(scope: &str, left: Duration) -> Result<Paused, QueueError> {
    let mut parts = scope.split(':');
    let scope = match (parts.next(), parts.next()) {
        (Some("i"), Some(name)) => name.parse().ok().map(Scope::Installation),
        (Some("l"), Some(name)) => name.parse().ok().map(Scope::Lane),
        _ => None,
    };
    let reason = match parts.next() {
        None => Some(Reason::Admin),
        Some(word) => Reason::read(word),
    };
    match (scope, reason) {
        (Some(scope), Some(reason)) => Ok(Paused { scope, pause: Pause { reason, left } }),
        _ => Err(QueueError::Unexpected("a pause")),
    }
}
