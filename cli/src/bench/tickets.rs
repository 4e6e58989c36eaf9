//! Jobs for the queue alone, when nothing else is measured.

use chrono::{TimeDelta, Utc};
use domain::{InstallationId, JobId, Lane, TeamId};
use queue::Ticket;

/// A provision job of a team of weight 1.
pub(super) fn ticket(team: TeamId) -> Ticket {
    weighed(team, 1.0)
}

/// A provision job of a team of this weight.
pub(super) fn weighed(team: TeamId, weight: f64) -> Ticket {
    let now = Utc::now();
    Ticket {
        job: JobId::new(),
        installation: InstallationId::default(),
        lane: Lane::Provision,
        team: Some(team),
        weight,
        cost: 1,
        accepted_at: now,
        deadline_at: now + TimeDelta::minutes(15),
        run_at: None,
        urgent: false,
    }
}
