//! Ticket: the data with which a job is enqueued.

use std::time::Duration;

use domain::{InstallationId, Job, JobId, Lane, TeamId};

/// A job to enqueue.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The job.
    pub job: JobId,
    /// Installation whose budget it uses.
    pub installation: InstallationId,
    /// Its lane.
    pub lane: Lane,
    /// Team charged for it; jobs without a team share one account.
    pub team: Option<TeamId>,
    /// The team's weight; clamped to 0.01 to 1,000.
    pub weight: f64,
    /// Expected cost in requests; clamped to 1 to 1,000.
    pub cost: u32,
    /// Time since the job was accepted.
    pub age: Duration,
    /// Time until the deadline; zero once it has passed. Half way between acceptance and deadline the job is overdue
    /// and goes ahead of its lane.
    pub time_left: Duration,
    /// Time until the job may start.
    pub delay: Duration,
    /// Goes ahead of all jobs of its lane that are not overdue, without a charge to the team.
    pub urgent: bool,
}

impl Ticket {
    /// Returns the ticket of a job whose row was written a moment ago; `weight` is its team's.
    pub fn for_job(job: &Job, weight: f64) -> Self {
        Self {
            job: job.id,
            installation: job.installation.clone(),
            lane: job.kind.lane(),
            team: job.team,
            weight,
            cost: job.kind.cost(),
            age: Duration::ZERO,
            // Both times come from the database, so only their difference is meaningful here.
            time_left: (job.deadline_at - job.created_at).to_std().unwrap_or_default(),
            delay: Duration::ZERO,
            urgent: job.is_urgent(),
        }
    }

    pub(crate) fn args(&self) -> [String; 10] {
        // Durations only: the clock of the database and the clock of Redis may differ by minutes.
        let age = whole_millis(self.age);
        let until_half = (whole_millis(self.time_left) - age) / 2;
        [
            self.job.to_string(),
            self.installation.to_string(),
            self.lane.to_string(),
            team(self.team),
            weight(self.weight).to_string(),
            cost(self.cost).to_string(),
            age.to_string(),
            until_half.to_string(),
            whole_millis(self.delay).to_string(),
            u8::from(self.urgent).to_string(),
        ]
    }
}

/// Returns milliseconds, at most 100 years, so that Redis can add them to its clock.
fn whole_millis(duration: Duration) -> i64 {
    const MAX: i64 = 100 * 365 * 24 * 3_600 * 1_000;
    i64::try_from(duration.as_millis()).unwrap_or(MAX).min(MAX)
}

pub(crate) fn team(team: Option<TeamId>) -> String {
    team.map_or_else(|| "-".to_owned(), |team| team.to_string())
}

pub(crate) fn weight(weight: f64) -> f64 {
    if weight.is_finite() { weight.clamp(0.01, 1_000.0) } else { 1.0 }
}

pub(crate) fn cost(cost: u32) -> u32 {
    cost.clamp(1, 1_000)
}
