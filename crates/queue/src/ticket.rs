//! What goes in.

use chrono::{DateTime, Utc};
use domain::{InstallationId, JobId, Lane, TeamId};

/// One job on its way into the queue.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The job.
    pub job: JobId,
    /// Whose budget it uses.
    pub installation: InstallationId,
    /// The lane it travels in.
    pub lane: Lane,
    /// Who is charged for it; jobs without a team share one line of their own.
    pub team: Option<TeamId>,
    /// The team's weight; brought into 0.01 to 1,000.
    pub weight: f64,
    /// Expected cost in requests; brought into 1 to 1,000.
    pub cost: u32,
    /// When the job was accepted.
    pub accepted_at: DateTime<Utc>,
    /// When it stops making sense. Once half of that time is over the job goes ahead of its lane.
    pub deadline_at: DateTime<Utc>,
    /// Not before this time; at once if none or past.
    pub run_at: Option<DateTime<Utc>>,
    /// Ahead of everything in its lane that is not overdue, without a charge to the team.
    pub urgent: bool,
}

impl Ticket {
    pub(crate) fn args(&self) -> [String; 10] {
        let accepted = self.accepted_at.timestamp_millis();
        let deadline = self.deadline_at.timestamp_millis().max(accepted);
        [
            self.job.to_string(),
            self.installation.to_string(),
            self.lane.to_string(),
            team(self.team),
            weight(self.weight).to_string(),
            cost(self.cost).to_string(),
            accepted.to_string(),
            (accepted + (deadline - accepted) / 2).to_string(),
            self.run_at.map_or(0, |at| at.timestamp_millis()).to_string(),
            u8::from(self.urgent).to_string(),
        ]
    }
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
