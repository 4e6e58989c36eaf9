//! Last success and failure of each periodic step.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::{Result, jobs::seconds};

/// Queries of the steps on one connection.
#[derive(Debug)]
pub struct SchedulerSteps<'c>(pub(crate) &'c mut PgConnection);

/// What one scheduler knows of a step. Ages instead of times: the scheduler has a clock of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepReport {
    /// Name of the step.
    pub step: &'static str,
    /// Time between two runs, in seconds.
    pub period: i32,
    /// Whether only the leading scheduler runs it.
    pub led: bool,
    /// Time since its last success.
    pub succeeded: Option<TimeDelta>,
    /// Time since its last failure.
    pub failed: Option<TimeDelta>,
}

/// A step as all schedulers know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRow {
    /// Name of the step.
    pub step: String,
    /// Time between two runs, in seconds.
    pub period_seconds: i32,
    /// Whether only the leading scheduler runs it.
    pub led: bool,
    /// Name of the scheduler that reported last.
    pub scheduler: String,
    /// Its last success.
    pub succeeded_at: Option<DateTime<Utc>>,
    /// Its last failure.
    pub failed_at: Option<DateTime<Utc>>,
}

impl SchedulerSteps<'_> {
    /// Writes what a scheduler knows of its steps; the newest time of several schedulers stays.
    pub async fn report(&mut self, scheduler: &str, reports: &[StepReport]) -> Result<()> {
        let steps: Vec<String> = reports.iter().map(|one| one.step.to_owned()).collect();
        let periods: Vec<i32> = reports.iter().map(|one| one.period).collect();
        let led: Vec<bool> = reports.iter().map(|one| one.led).collect();
        let age = |of: fn(&StepReport) -> Option<TimeDelta>| -> Vec<Option<f64>> {
            reports.iter().map(|one| of(one).map(seconds)).collect()
        };
        sqlx::query!(
            "INSERT INTO scheduler_steps AS s (step, period_seconds, led, scheduler, succeeded_at, failed_at)
             SELECT step, period, led, $1, now() - make_interval(secs => succeeded), now() - make_interval(secs => failed)
             FROM unnest($2::text[], $3::integer[], $4::boolean[], $5::float8[], $6::float8[])
                AS r (step, period, led, succeeded, failed)
             ON CONFLICT (step) DO UPDATE SET period_seconds = excluded.period_seconds, led = excluded.led,
                scheduler = excluded.scheduler, succeeded_at = greatest(s.succeeded_at, excluded.succeeded_at),
                failed_at = greatest(s.failed_at, excluded.failed_at)",
            scheduler,
            &steps,
            &periods,
            &led,
            &age(|one| one.succeeded) as _,
            &age(|one| one.failed) as _,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns the steps that were reported in the last 30 days, by name.
    pub async fn list(&mut self) -> Result<Vec<StepRow>> {
        Ok(sqlx::query_as!(
            StepRow,
            "SELECT step, period_seconds, led, scheduler, succeeded_at, failed_at FROM scheduler_steps
             WHERE greatest(succeeded_at, failed_at) > now() - interval '30 days' ORDER BY step LIMIT 200",
        )
        .fetch_all(&mut *self.0)
        .await?)
    }
}
