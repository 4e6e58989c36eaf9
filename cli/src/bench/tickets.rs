//! Jobs for the queue alone, when nothing else is measured.

use std::time::Duration;

use domain::{InstallationId, JobId, Lane, TeamId};
use queue::Ticket;

/// A provision job of a team of weight 1.
pub(super) fn ticket(team: TeamId) -> Ticket {
    weighed(team, 1.0)
}

/// A provision job of a team of this weight.
pub(super) fn weighed(team: TeamId, weight: f64) -> Ticket {
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
