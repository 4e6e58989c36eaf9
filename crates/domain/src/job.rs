//! Jobs: states, counters, deadlines, retries. The job's data lives here; who performs it lives in `worker`.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    CallId, InstallationId, JobId, JobKind, Problem, Requester, RunnerId, RunnerName, Source, TeamId,
    lane::string_enum,
};

string_enum! {
    /// Where a job stands. The last four are final: they never change again.
    JobState {
        /// Accepted, waiting for a worker.
        Queued = "queued",
        /// A worker holds it.
        Running = "running",
        /// Done; for a provision, the config is ready.
        Succeeded = "succeeded",
        /// Given up; `error` says why.
        Failed = "failed",
        /// Withdrawn by its requester before it ran.
        Cancelled = "cancelled",
        /// Not done before its deadline; it will not be run late.
        Expired = "expired",
    }
}

impl JobState {
    /// True for the states that never change again.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

string_enum! {
    /// Why a queued job does not run yet.
    BlockedOn {
        /// Every worker is busy, or none is there.
        Worker = "worker",
        /// GitHub's rate limit is used up for now.
        Budget = "budget",
        /// GitHub does not answer properly.
        GithubOutage = "github_outage",
        /// An admin paused the lane.
        Paused = "paused",
        /// An attempt failed; the next one is due later.
        Retry = "retry",
        /// The runner is busy with a workflow job.
        Busy = "busy",
    }
}

/// A job that died this often with its worker is not tried again.
pub const MAX_RESCUES: i32 = 3;

impl JobKind {
    /// How long after acceptance a job of this kind may still be run.
    pub const fn deadline_after(self) -> TimeDelta {
        match self {
            Self::Provision | Self::Register => TimeDelta::minutes(15),
            Self::Deprovision => TimeDelta::hours(24),
            Self::DriftCheck => TimeDelta::minutes(10),
        }
    }

    /// GitHub calls a job of this kind is expected to make: its cost in the fair queue.
    pub const fn cost(self) -> u32 {
        match self {
            Self::Provision | Self::DriftCheck => 1,
            Self::Deprovision | Self::Register => 2,
        }
    }
}

/// Waiting time after the `attempts`-th failure (1 is the first): 1, 2, 4, 8, 15, 30, 30 … seconds, ± 50 %.
/// `jitter` is a random number in `0.0..1.0`.
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

/// How long a job leaves a busy runner alone after its `waits`-th wait (0 is none yet): 30 s, 1, 2, 4, then 5 minutes,
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

/// What a job was asked to do; stored as JSON with the job, never a secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobParams {
    /// One JIT config for the job's runner row.
    Provision {
        /// How the runner is to be called.
        name: RequestedName,
        /// Work folder on the runner's machine.
        work_folder: String,
    },
    /// One registration token, with which the job's runner registers itself.
    Register,
    /// Remove one runner from GitHub.
    Deprovision(Removal),
    /// Look at the job's runner on GitHub, and act on what is found.
    DriftCheck {
        /// Who wants to know.
        source: Source,
    },
}

impl JobParams {
    /// The kind of job these belong to.
    pub const fn kind(&self) -> JobKind {
        match self {
            Self::Provision { .. } => JobKind::Provision,
            Self::Register => JobKind::Register,
            Self::Deprovision(_) => JobKind::Deprovision,
            Self::DriftCheck { .. } => JobKind::DriftCheck,
        }
    }
}

string_enum! {
    /// Why a runner nobody asked to remove is removed.
    ReclaimReason {
        /// Its config was never used.
        Unused = "unused_config",
        /// It has been offline for too long.
        Stale = "stale",
    }
}

/// What is to be removed from GitHub, and on what proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "target", rename_all = "snake_case")]
pub enum Removal {
    /// The runner of the job's runner row.
    Runner,
    /// The same, as long as it is neither online nor busy: nobody asked for its removal.
    Leftover {
        /// Why it is to go.
        why: ReclaimReason,
    },
    /// What a call of ours may have left behind: found by its name, which only that call can have made.
    #[serde(rename = "stray")]
    Orphan {
        /// The call.
        call: CallId,
        /// The name the call asked for.
        runner_name: RunnerName,
    },
}

/// How a caller wants a runner to be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestedName {
    /// Exactly so.
    Exact(RunnerName),
    /// A generated name behind this prefix.
    Prefix(String),
}

/// Longest prefix: a generated name adds `-` and 12 characters and stays within 64.
pub const MAX_PREFIX: usize = 51;

impl RequestedName {
    /// The name for the `generation`-th try (from 1) of `job`: unique for ever, derived from both.
    pub fn name(&self, job: JobId, generation: i16) -> RunnerName {
        match self {
            Self::Exact(name) => name.clone(),
            Self::Prefix(prefix) => RunnerName::generated(prefix, job, generation),
        }
    }

    /// True when every try must use the same name.
    pub const fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }
}

/// One job as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// Whose GitHub budget it uses.
    pub installation: InstallationId,
    /// On whose account it runs; none for the service's own.
    pub team: Option<TeamId>,
    /// Who asked; none for the service itself.
    pub requester: Option<Requester>,
    /// The fingerprint of the issuer and subject that asked, where a machine client did.
    pub asked_by: Option<Vec<u8>>,
    /// Callers beside them who were answered with this job and count on it.
    pub waiters: i32,
    /// The runner it is about.
    pub runner: Option<RunnerId>,
    /// That runner's name.
    pub runner_name: Option<String>,
    /// Where it stands.
    pub state: JobState,
    /// Why it waits, as last recorded.
    pub blocked_on: Option<BlockedOn>,
    /// Real failures, and the start under way.
    pub attempts: i32,
    /// Waits that were nobody's failure.
    pub snoozes: i32,
    /// Starts after its worker died.
    pub rescues: i32,
    /// Counts starts; only the newest may write a result.
    pub fence: i64,
    /// Not to be run before.
    pub run_at: DateTime<Utc>,
    /// Not to be run after.
    pub deadline_at: DateTime<Utc>,
    /// Accepted.
    pub created_at: DateTime<Utc>,
    /// First started.
    pub started_at: Option<DateTime<Utc>>,
    /// Final since.
    pub finished_at: Option<DateTime<Utc>>,
    /// What it was asked to do.
    pub params: JobParams,
    /// Why it failed.
    pub error: Option<Problem>,
    /// W3C trace context of the request that made it.
    pub trace: Option<String>,
    /// The stores' clock when it was read.
    pub now: DateTime<Utc>,
}

/// Why a job that was just started must not be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRunnable {
    /// It killed its worker too often.
    Poisoned,
    /// Its deadline has passed.
    Expired,
}

impl Job {
    /// Whether this just-started job may run.
    pub fn check_runnable(&self) -> Result<(), NotRunnable> {
        if self.rescues >= MAX_RESCUES {
            Err(NotRunnable::Poisoned)
        } else if self.now >= self.deadline_at {
            Err(NotRunnable::Expired)
        } else {
            Ok(())
        }
    }

    /// Whether somebody looks at its result now: then it goes ahead of its lane.
    pub const fn is_urgent(&self) -> bool {
        match self.params {
            JobParams::DriftCheck { source } => matches!(source, Source::Refresh) || self.waiters > 0,
            _ => false,
        }
    }

    /// Why its runner is removed although nobody asked for that; none as soon as somebody does.
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
    fn every_generation_has_a_name_of_its_own() {
        let job = JobId::new();
        let wish = RequestedName::Prefix("x".repeat(MAX_PREFIX));
        let names: std::collections::HashSet<String> =
            (1..=50).map(|generation| wish.name(job, generation).to_string()).collect();
        assert_eq!(names.len(), 50);
        assert!(names.iter().all(|name| name.len() <= 64));
    }
}
