//! Queue tickets of jobs without rows, for measurements of the queue alone.

use std::time::Duration;

use domain::{InstallationId, JobId, Lane, TeamId};
use queue::Ticket;

/// Returns the ticket of a new provision job of a team with weight 1.
pub(crate) fn provision_ticket(team: TeamId) -> Ticket {
    weighted_ticket(team, 1.0)
}

/// Returns the ticket of a new provision job of a team with this weight.
pub(crate) fn weighted_ticket(team: TeamId, weight: f64) -> Ticket {
    Ticket {
        job: JobId::new(),
        installation: InstallationId::default(),
        lane: Lane::Provision,
        team: Some(team),
        weight,
        cost: 1,
        age: Duration::ZERO,
        time_left: Duration::from_mins(15),
        delay: Duration::ZERO,
        urgent: false,
    }
}
