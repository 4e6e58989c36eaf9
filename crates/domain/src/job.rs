//! Jobs: states, counters, deadlines and retry delays. The `worker` crate runs them.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    CallId, InstallationId, JobId, Lane, Problem, Requester, RunnerId, RunnerName, SealingKey, Source,
    TeamId, string_enum::string_enum,
};

string_enum! {
    /// Kind of a job.
    JobKind {
        /// Creates one JIT runner config.
        Provision = "provision",
        /// Creates one registration token.
        Register = "register",
        /// Removes one runner from GitHub.
        Deprovision = "deprovision",
        /// Compares one runner with its state on GitHub.
        DriftCheck = "drift_check",
    }
}

impl JobKind {
    /// Returns the lane of jobs of this kind.
    pub const fn lane(self) -> Lane {
        match self {
            Self::Provision | Self::Register => Lane::Provision,
            Self::Deprovision => Lane::Deprovision,
            Self::DriftCheck => Lane::Drift,
        }
    }

    /// Returns whether a job of this kind creates its runner.
    pub const fn makes_runner(self) -> bool {
        matches!(self, Self::Provision | Self::Register)
    }

    /// Returns the time after acceptance within which a job of this kind must be done.
    pub const fn deadline_after(self) -> TimeDelta {
        match self {
            Self::Provision | Self::Register => TimeDelta::minutes(15),
            Self::Deprovision => TimeDelta::hours(24),
            Self::DriftCheck => TimeDelta::minutes(10),
        }
    }

    /// Returns the number of GitHub calls a job of this kind is expected to make: its cost in the fair queue.
    pub const fn cost(self) -> u32 {
        match self {
            Self::Provision | Self::DriftCheck => 1,
            Self::Deprovision | Self::Register => 2,
        }
    }
}

string_enum! {
    /// State of a job. The last four states are final.
    JobState {
        /// Accepted, waiting for a worker.
        Queued = "queued",
        /// Claimed and run by a worker.
        Running = "running",
        /// Done; for a provision, the config is ready.
        Succeeded = "succeeded",
        /// Failed for good; `error` says why.
        Failed = "failed",
        /// Cancelled before it ran.
        Cancelled = "cancelled",
        /// Not done before its deadline; it will not run any more.
        Expired = "expired",
    }
}

impl JobState {
    /// Returns whether the state is final.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

string_enum! {
    /// Reason a queued job does not run yet.
    BlockedOn {
        /// No worker is free or running.
        Worker = "worker",
        /// GitHub's rate limit is used up for now.
        Budget = "budget",
        /// GitHub is failing.
        GithubOutage = "github_outage",
        /// An admin paused the lane.
        Paused = "paused",
        /// An attempt failed; the next one is due later.
        Retry = "retry",
        /// The runner is busy with a workflow job.
        Busy = "busy",
    }
}

/// Maximum number of rescues. A job whose worker died more often is not run again.
pub const MAX_RESCUES: i32 = 3;

/// Returns the delay after the `attempts`-th failure, counted from 1: 1, 2, 4, 8, 15, then 30 seconds, ± 50 %. `jitter`
/// is a random number in `0.0..1.0`.
pub fn retry_delay(attempts: i32, jitter: f64) -> TimeDelta {
    let base = match attempts {
        i32::MIN..=1 => 1.0,
        2 => 2.0,
        3 => 4.0,
        4 => 8.0,
        5 => 15.0,
        _ => 30.0,
    };
    #[expect(clippy::cast_possible_truncation, reason = "at most 45,000 ms")]
    TimeDelta::milliseconds((base * (0.5 + jitter.clamp(0.0, 1.0)) * 1000.0) as i64)
}

/// Returns the delay before a busy runner is checked again, after `waits` earlier waits: 30 s, 1, 2, 4, then 5 minutes,
/// ± 20 %. Workflow jobs may run for days. `jitter` is a random number in `0.0..1.0`.
pub fn busy_delay(waits: i32, jitter: f64) -> TimeDelta {
    let base = match waits {
        i32::MIN..=0 => 30.0,
        1 => 60.0,
        2 => 120.0,
        3 => 240.0,
        _ => 300.0,
    };
    #[expect(clippy::cast_possible_truncation, reason = "at most 360,000 ms")]
    TimeDelta::milliseconds((base * (0.8 + 0.4 * jitter.clamp(0.0, 1.0)) * 1000.0) as i64)
}

/// Parameters of a job, stored as JSON; never a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobParams {
    /// Create one JIT config for the job's runner.
    Provision {
        /// Requested runner name.
        name: RequestedName,
        /// Work folder on the runner's machine.
        work_folder: String,
    },
    /// Create one JIT config for the job's runner, sealed to the requester's key. It has a name of its own so that a
    /// worker of an earlier release, which would seal the config to the service's key, leaves the job alone.
    SealedProvision {
        /// Requested runner name.
        name: RequestedName,
        /// Work folder on the runner's machine.
        work_folder: String,
        /// Key of the request.
        sealing_key: SealingKey,
    },
    /// Create one registration token, with which the job's runner registers itself.
    Register,
    /// Remove one runner from GitHub.
    Deprovision(Removal),
    /// Check the job's runner on GitHub and act on the result.
    DriftCheck {
        /// Origin of the check.
        source: Source,
    },
}

impl JobParams {
    /// Returns the kind of job that these parameters belong to.
    pub const fn kind(&self) -> JobKind {
        match self {
            Self::Provision { .. } | Self::SealedProvision { .. } => JobKind::Provision,
            Self::Register => JobKind::Register,
            Self::Deprovision(_) => JobKind::Deprovision,
            Self::DriftCheck { .. } => JobKind::DriftCheck,
        }
    }

    /// Returns the key that the job's config is sealed to, if the requester sent one.
    pub const fn sealing_key(&self) -> Option<&SealingKey> {
        match self {
            Self::SealedProvision { sealing_key, .. } => Some(sealing_key),
            _ => None,
        }
    }
}

string_enum! {
    /// Reason for an automatic removal of a runner.
    ReclaimReason {
        /// The runner's config was never used.
        Unused = "unused_config",
        /// The runner has been offline for too long.
        Stale = "stale",
    }
}

/// Target of a removal from GitHub, with the reason that permits it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "target", rename_all = "snake_case")]
pub enum Removal {
    /// The job's runner, at a caller's request.
    Runner,
    /// The job's runner, removed automatically while it is neither online nor busy.
    Leftover {
        /// Reason for the removal.
        why: ReclaimReason,
    },
    /// A possible orphan of a recorded call, identified by the runner name that only this call requested.
    #[serde(rename = "stray")]
    Orphan {
        /// The recorded call.
        call: CallId,
        /// The runner name the call requested.
        runner_name: RunnerName,
    },
}

/// Runner name as a caller requests it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestedName {
    /// Exactly this name.
    Exact(RunnerName),
    /// A generated name with this prefix.
    Prefix(String),
}

/// Maximum length of a prefix: a generated name adds `-` and 12 characters and has at most 64.
pub const MAX_PREFIX: usize = 51;

impl RequestedName {
    /// Returns the name for attempt number `generation` (from 1) of `job`. It is globally unique and derived from both.
    pub fn name(&self, job: JobId, generation: i16) -> RunnerName {
        match self {
            Self::Exact(name) => name.clone(),
            Self::Prefix(prefix) => RunnerName::generated(prefix, job, generation),
        }
    }

    /// Returns whether all attempts must use the same name.
    pub const fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }
}

/// One stored job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Id of the job.
    pub id: JobId,
    /// Kind of the job.
    pub kind: JobKind,
    /// Installation whose GitHub budget the job uses.
    pub installation: InstallationId,
    /// Team the job is accounted to; `None` for the service's own jobs.
    pub team: Option<TeamId>,
    /// Requester; `None` for the service itself.
    pub requester: Option<Requester>,
    /// Fingerprint of the requesting issuer and subject, if the requester is a machine client.
    pub asked_by: Option<Vec<u8>>,
    /// Number of further callers who joined this job and wait for its result.
    pub waiters: i32,
    /// Runner the job is about.
    pub runner: Option<RunnerId>,
    /// Name of that runner.
    pub runner_name: Option<String>,
    /// Current state.
    pub state: JobState,
    /// Reason the job waits, as last recorded.
    pub blocked_on: Option<BlockedOn>,
    /// Number of failed attempts, including the current start.
    pub attempts: i32,
    /// Number of waits that do not count as failures.
    pub snoozes: i32,
    /// Number of starts after a worker died.
    pub rescues: i32,
    /// Number of starts; only the newest start may write a result.
    pub fence: i64,
    /// Earliest time of the next start.
    pub run_at: DateTime<Utc>,
    /// Deadline.
    pub deadline_at: DateTime<Utc>,
    /// Time of acceptance.
    pub created_at: DateTime<Utc>,
    /// Time of the first start.
    pub started_at: Option<DateTime<Utc>>,
    /// Time at which the job became final.
    pub finished_at: Option<DateTime<Utc>>,
    /// Parameters of the job.
    pub params: JobParams,
    /// Problem that made the job fail.
    pub error: Option<Problem>,
    /// W3C trace context of the request that created the job.
    pub trace: Option<String>,
    /// Time of the read, by the database's clock.
    pub now: DateTime<Utc>,
}

/// Reason a job that was just started must not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRunnable {
    /// Too many workers died while they ran it.
    Poisoned,
    /// Its deadline has passed.
    Expired,
}

impl Job {
    /// Checks that a job that was just started may run.
    ///
    /// # Errors
    /// Returns the reason if it must not run.
    pub fn check_runnable(&self) -> Result<(), NotRunnable> {
        if self.rescues >= MAX_RESCUES {
            Err(NotRunnable::Poisoned)
        } else if self.now >= self.deadline_at {
            Err(NotRunnable::Expired)
        } else {
            Ok(())
        }
    }

    /// Returns whether a caller waits for the result; such a job is placed at the front of its lane.
    pub const fn is_urgent(&self) -> bool {
        match self.params {
            JobParams::DriftCheck { source } => matches!(source, Source::Refresh) || self.waiters > 0,
            _ => false,
        }
    }

    /// Returns the reason for an automatic removal. `None` if a caller requested the removal or has joined it.
    pub fn reclaim_reason(&self) -> Option<ReclaimReason> {
        match self.params {
            JobParams::Deprovision(Removal::Leftover { why }) if self.waiters == 0 => Some(why),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_slow_down_and_stay_bounded() {
        let middle: Vec<i64> = (1..=8).map(|n| retry_delay(n, 0.5).num_milliseconds()).collect();
        assert_eq!(middle, [1000, 2000, 4000, 8000, 15000, 30000, 30000, 30000]);
        assert_eq!(retry_delay(6, 0.0).num_milliseconds(), 15_000);
        assert_eq!(retry_delay(600, 1.0).num_milliseconds(), 45_000);
    }

    #[test]
    fn busy_delays_grow() {
        let middle: Vec<i64> = (0..7).map(|n| busy_delay(n, 0.5).num_seconds()).collect();
        assert_eq!(middle, [30, 60, 120, 240, 300, 300, 300]);
        assert_eq!((busy_delay(0, 0.0).num_seconds(), busy_delay(900, 1.0).num_seconds()), (24, 360));
    }

    #[test]
    fn params_survive_the_store() {
        let wish =
            JobParams::Provision { name: RequestedName::Prefix("ci".into()), work_folder: "_work".into() };
        let text = serde_json::to_string(&wish).unwrap();
        assert_eq!(text, r#"{"kind":"provision","name":{"prefix":"ci"},"work_folder":"_work"}"#);
        assert_eq!(serde_json::from_str::<JobParams>(&text).unwrap(), wish);
    }

    #[test]
    fn key_of_a_requester_makes_another_kind_of_params() {
        let key = crate::SealingKeyPair::generate().unwrap().public();
        let (name, work_folder) = (RequestedName::Prefix("ci".into()), "_work".to_owned());
        let wish = JobParams::SealedProvision { name, work_folder, sealing_key: key };
        let text = serde_json::to_value(&wish).unwrap();
        assert_eq!(
            (&text["kind"], &text["sealing_key"]),
            (&"sealed_provision".into(), &key.to_string().into())
        );
        assert_eq!(serde_json::from_value::<JobParams>(text).unwrap(), wish);
        assert_eq!((wish.kind(), wish.sealing_key()), (JobKind::Provision, Some(&key)));
    }

    #[test]
    fn every_generation_has_a_name_of_its_own() {
        let job = JobId::new();
        let wish = RequestedName::Prefix("x".repeat(MAX_PREFIX));
        let names: std::collections::HashSet<String> =
            (1..=50).map(|generation| wish.name(job, generation).to_string()).collect();
        assert_eq!(names.len(), 50);
        assert!(names.iter().all(|name| name.len() <= 64));
    }
}
