//! Last success and failure of each step of this process, which one step writes to the database for people.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;
use store::StepReport;
use tokio::time::Instant;

use crate::{Parts, StepError};

/// Reports of the steps of one process; clones share them.
#[derive(Clone, Debug, Default)]
pub struct StepReports(Arc<Mutex<BTreeMap<&'static str, Report>>>);

#[derive(Clone, Copy, Debug)]
struct Report {
    period: Duration,
    led: bool,
    succeeded: Option<Instant>,
    failed: Option<Instant>,
}

impl StepReports {
    /// Adds a step that runs every `period`; `led` if only the leading scheduler runs it.
    pub fn register(&self, step: &'static str, period: Duration, led: bool) {
        let report = Report { period, led, succeeded: None, failed: None };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(step, report);
    }

    /// Records the end of a run.
    pub fn record(&self, step: &'static str, succeeded: bool) {
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(report) = reports.get_mut(step) {
            let end = if succeeded { &mut report.succeeded } else { &mut report.failed };
            *end = Some(Instant::now());
        }
    }

    /// Returns the steps that have run.
    fn ran(&self) -> Vec<StepReport> {
        let reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |at: Option<Instant>| at.and_then(|at| TimeDelta::from_std(at.elapsed()).ok());
        let ran = reports.iter().filter(|(_, report)| report.succeeded.or(report.failed).is_some());
        let report = |(step, report): (&&'static str, &Report)| StepReport {
            step,
            period: i32::try_from(report.period.as_secs()).unwrap_or(i32::MAX).max(1),
            led: report.led,
            succeeded: age(report.succeeded),
            failed: age(report.failed),
        };
        ran.map(report).collect()
    }
}

/// Writes the reports. Returns 0, since no job was changed.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let reports = parts.steps.ran();
    if !reports.is_empty() {
        parts.store.conn().await?.scheduler_steps().report(&parts.sync.name, &reports).await?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_reported_once_they_have_run() {
        let reports = StepReports::default();
        reports.register("expire", Duration::from_secs(5), false);
        reports.register("flow", Duration::from_secs(10), true);
        reports.record("flow", false);
        reports.record("unknown", true);
        let ran = reports.ran();
        assert_eq!(ran.len(), 1);
        assert_eq!((ran[0].step, ran[0].period, ran[0].led), ("flow", 10, true));
        assert!(ran[0].succeeded.is_none() && ran[0].failed.is_some());
        reports.record("expire", true);
        assert_eq!(reports.ran()[0].step, "expire");
    }
}
