//! Settings of jobs, sync and policy.

use std::time::Duration;

use super::{ConfigError, Section, Setting, Sources};

const CONCURRENCY: Setting =
    Setting::new("WORKER_CONCURRENCY", "a number from 1 to 80", "Jobs one worker runs at the same time.")
        .or("8");
const LEASE: Setting = Setting::new(
    "WORKER_LEASE_SECONDS",
    "seconds from 1 to 60",
    "Lease of a claimed job: if its worker stops renewing it, another worker takes the job after this time.",
)
.or("15");
const TTL: Setting = Setting::new(
    "JIT_CONFIG_TTL_SECONDS",
    "seconds from 60 to 86400",
    "How long an unused runner config lives; then its runner is deleted.",
)
.or("3600");
const SYNC: Setting = Setting::new(
    "SYNC_INTERVAL_SECONDS",
    "seconds from 10 to 86400",
    "Interval at which all runners are compared with GitHub.",
)
.or("300");
const STALE: Setting = Setting::new(
    "CLEANUP_STALE_RUNNERS_HOURS",
    "hours from 1 to 8760",
    "How long a runner may be offline before it counts as stale.",
)
.or("24");
const ENFORCEMENT: Setting = Setting::new(
    "LABEL_POLICY_ENFORCEMENT",
    "`audit` or `enforce`",
    "Whether label drift, and workflow jobs a team does not allow, are only recorded or also acted upon.",
)
.or("enforce");
const DELETE_BUSY: Setting = Setting::new(
    "LABEL_DRIFT_DELETE_BUSY_RUNNERS",
    "`true` or `false`",
    "Whether a drifted runner is deleted even while it runs a job.",
)
.or("false");
const REGISTRATION: Setting = Setting::new(
    "ENABLE_REGISTRATION_TOKENS",
    "`true` or `false`",
    "Whether users with the permission may request registration tokens.",
)
.or("false");
const KEEP_JOBS: Setting = Setting::new(
    "JOB_RETENTION_DAYS",
    "0 (for ever), or days from 8 to 3650",
    "How long final jobs, the records of their GitHub calls, and batches that are over are kept.",
)
.or("30");
const KEEP_RUNNERS: Setting = Setting::new(
    "RUNNER_HISTORY_DAYS",
    "0 (for ever), or days from 8 to 3650, not fewer than JOB_RETENTION_DAYS",
    "How long deleted runners and their status changes are kept.",
)
.or("90");
const KEEP_AUDIT: Setting = Setting::new(
    "AUDIT_RETENTION_DAYS",
    "0 (for ever), or days from 8 to 3650",
    "How long the audit log, the security events and undone incidents are kept.",
)
.or("400");

/// Response to violations of the label policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelEnforcement {
    /// Record the violation.
    Audit,
    /// Record the violation and act on it.
    Enforce,
}

/// Settings of jobs, sync and policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobsConfig {
    /// Number of jobs one worker runs concurrently; 1 to 80.
    pub worker_concurrency: usize,
    /// Duration of a lease that is not renewed; 1 to 60 s.
    pub worker_lease: Duration,
    /// Lifetime of an unused runner config; 60 s to one day.
    pub jit_config_ttl: Duration,
    /// Interval between sync runs; 10 s to one day.
    pub sync_interval: Duration,
    /// Time after which an offline runner counts as stale; 1 h to one year.
    pub stale_after: Duration,
    /// Response to label drift.
    pub label_enforcement: LabelEnforcement,
    /// Whether busy runners are deleted on drift too.
    pub drift_deletes_busy: bool,
    /// Whether registration tokens are handed out.
    pub registration_tokens: bool,
    /// Retention of final jobs and of batches; `None` means for ever.
    pub keep_jobs: Option<Duration>,
    /// Retention of deleted runners, at least that of jobs; `None` means for ever.
    pub keep_runners: Option<Duration>,
    /// Retention of audit rows, security events and undone incidents; `None` means for ever.
    pub keep_audit: Option<Duration>,
}

impl Section for JobsConfig {
    const TITLE: &'static str = "Jobs, sync and policy";
    const SETTINGS: &'static [Setting] = &[
        CONCURRENCY,
        LEASE,
        TTL,
        SYNC,
        STALE,
        ENFORCEMENT,
        DELETE_BUSY,
        REGISTRATION,
        KEEP_JOBS,
        KEEP_RUNNERS,
        KEEP_AUDIT,
    ];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let keep_jobs = sources.value(&KEEP_JOBS, days)?;
        // Jobs refer to their runners, so runners are kept at least as long.
        let outlives = |days: &u64| *days == 0 || (1..=*days).contains(&keep_jobs);
        let keep_runners = sources.value(&KEEP_RUNNERS, |text| days(text).filter(outlives))?;
        let span = |days: u64| (days > 0).then(|| Duration::from_hours(24 * days));
        Ok(Self {
            worker_concurrency: sources.number(&CONCURRENCY, 1..=80)?,
            worker_lease: sources.seconds(&LEASE, 1..=60)?,
            jit_config_ttl: sources.seconds(&TTL, 60..=86_400)?,
            sync_interval: sources.seconds(&SYNC, 10..=86_400)?,
            stale_after: Duration::from_secs(3600 * sources.number(&STALE, 1..=8760_u64)?),
            label_enforcement: sources.value(&ENFORCEMENT, enforcement)?,
            drift_deletes_busy: sources.flag(&DELETE_BUSY)?,
            registration_tokens: sources.flag(&REGISTRATION)?,
            keep_jobs: span(keep_jobs),
            keep_runners: span(keep_runners),
            keep_audit: span(sources.value(&KEEP_AUDIT, days)?),
        })
    }
}

/// Reads a retention in days: 0, or more than the seven days for which an Idempotency-Key is valid.
fn days(text: &str) -> Option<u64> {
    text.parse().ok().filter(|days| matches!(days, 0 | 8..=3650))
}

fn enforcement(text: &str) -> Option<LabelEnforcement> {
    match text.to_ascii_lowercase().as_str() {
        "audit" => Some(LabelEnforcement::Audit),
        "enforce" => Some(LabelEnforcement::Enforce),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;

    fn keep(jobs: &str, runners: &str) -> Result<JobsConfig, ConfigError> {
        let sources = Sources::empty(Mode::Production).set("JOB_RETENTION_DAYS", jobs);
        sources.set("RUNNER_HISTORY_DAYS", runners).section()
    }

    #[test]
    fn runner_is_kept_as_long_as_its_jobs() {
        let days = |days: u64| Some(Duration::from_hours(24 * days));
        let kept = keep("30", "30").unwrap();
        assert_eq!((kept.keep_jobs, kept.keep_runners, kept.keep_audit), (days(30), days(30), days(400)));
        assert_eq!(keep("0", "0").unwrap().keep_jobs, None);
        assert_eq!(keep("3650", "0").unwrap().keep_runners, None);
        for (jobs, runners) in [("31", "30"), ("0", "90"), ("7", "90"), ("30", "4000"), ("-1", "90")] {
            assert!(keep(jobs, runners).is_err(), "{jobs} {runners}");
        }
    }
}
