//! When would it start?

use std::time::Duration;

use domain::{InstallationId, Lane, TeamId};
use redis::cmd;

use crate::{Pause, Queue, QueueError, Reason, readable::keep_readable, scripts, ticket};

/// A job somebody thinks of putting in; the fields are those of a [`crate::Ticket`].
#[derive(Clone, Debug)]
pub struct ProspectiveJob {
    /// Whose budget it would use.
    pub installation: InstallationId,
    /// The lane it would travel in.
    pub lane: Lane,
    /// Who would be charged for it.
    pub team: Option<TeamId>,
    /// The team's weight.
    pub weight: f64,
    /// Expected cost in requests.
    pub cost: u32,
}

/// What a new job would meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// When it would start if every lane takes its share of what GitHub's limits allow. Grows with the backlog, is
    /// never below the pause. An estimate: it does not know how long jobs run, nor what falls due.
    pub starts_in: Duration,
    /// Jobs of the same team that wait, in all lanes, delayed ones included.
    pub team_waiting: u64,
    /// The longest pause of the installation or lane, else what GitHub's limits lack for the next job, if anything.
    pub pause: Option<Pause>,
}

/// The jobs of one team in one installation, over all lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TeamLoad {
    /// Jobs that wait, delayed ones included.
    pub waiting: u64,
    /// Jobs workers hold.
    pub running: u64,
}

impl Queue {
    /// What a new job would meet. O(log n).
    pub async fn forecast(&self, prospect: &ProspectiveJob) -> Result<Forecast, QueueError> {
        let mut args = vec![
            prospect.installation.to_string(),
            prospect.lane.to_string(),
            ticket::team(prospect.team),
            ticket::weight(prospect.weight).to_string(),
            ticket::cost(prospect.cost).to_string(),
        ];
        args.extend(shares());
        let (starts_in, team_waiting, why, left): (u64, u64, String, u64) =
            self.run(&scripts::FORECAST, &args).await?;
        Ok(Forecast { starts_in: Duration::from_millis(starts_in), team_waiting, pause: pause(&why, left) })
    }

    /// How many jobs a team has here. O(1).
    pub async fn team_load(
        &self,
        installation: &InstallationId,
        team: TeamId,
    ) -> Result<TeamLoad, QueueError> {
        let mut ask = cmd("HMGET");
        ask.arg(self.key(&format!("counts:{installation}")))
            .arg(format!("w:{team}"))
            .arg(format!("r:{team}"));
        let (waiting, running): (Option<u64>, Option<u64>) = self.link().command(&ask).await?;
        Ok(TeamLoad { waiting: waiting.unwrap_or(0), running: running.unwrap_or(0) })
    }
}

pub(crate) fn shares() -> impl Iterator<Item = String> {
    Lane::ALL.iter().map(|lane| lane.share().to_string())
}

/// A pause as the scripts tell it: no reason, or one that this version does not know, is no pause.
pub(crate) fn pause(why: &str, left: u64) -> Option<Pause> {
    if why.is_empty() {
        return None;
    }
    let reason = keep_readable(Reason::read(why).ok_or(QueueError::Unexpected("a pause")))?;
    Some(Pause { reason, left: Duration::from_millis(left) })
}
