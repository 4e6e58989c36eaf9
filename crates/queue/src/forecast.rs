//! Estimates of a job's start before the job exists.

use std::{collections::HashMap, time::Duration};

use domain::{InstallationId, Lane, TeamId};
use redis::cmd;

use crate::{Pause, Queue, QueueError, Reason, readable::keep_readable, scripts, ticket};

/// A job that may be enqueued; the fields are those of a [`crate::Ticket`].
#[derive(Clone, Debug)]
pub struct ProspectiveJob {
    /// Installation whose budget it would use.
    pub installation: InstallationId,
    /// Its lane.
    pub lane: Lane,
    /// Team charged for it.
    pub team: Option<TeamId>,
    /// The team's weight.
    pub weight: f64,
    /// Expected cost in requests.
    pub cost: u32,
}

/// Forecast for a new job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Estimated time until the start, if every lane uses its share of GitHub's limits. It grows with the backlog and
    /// is never below the pause. It ignores how long jobs run and which delayed jobs become due.
    pub starts_in: Duration,
    /// Waiting jobs of the team in all lanes, delayed ones included.
    pub team_waiting: u64,
    /// The longest pause of the installation or lane, otherwise the wait for GitHub's limits, if any.
    pub pause: Option<Pause>,
}

/// The jobs of one team in one installation, over all lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TeamLoad {
    /// Waiting jobs, delayed ones included.
    pub waiting: u64,
    /// Jobs that workers hold.
    pub running: u64,
}

/// The waiting jobs of one team in one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamBacklog {
    /// The team.
    pub team: TeamId,
    /// Waiting jobs, delayed and set-aside ones included.
    pub waiting: u64,
    /// Those of them that are set aside, because the team runs or spends its maximum.
    pub aside: u64,
}

impl Queue {
    /// Returns the teams with waiting jobs in an installation. Jobs without a team are left out. O(teams).
    pub async fn team_backlogs(&self, installation: &InstallationId) -> Result<Vec<TeamBacklog>, QueueError> {
        let mut ask = cmd("HGETALL");
        ask.arg(self.key(&format!("counts:{installation}")));
        let counts: HashMap<String, u64> = self.link().command(&ask).await?;
        let waiting = counts.iter().filter_map(|(field, number)| {
            let name = field.strip_prefix("w:")?;
            let team = name.parse().ok()?;
            let aside = counts.get(&format!("a:{name}")).copied().unwrap_or(0);
            Some(TeamBacklog { team, waiting: *number, aside })
        });
        Ok(waiting.collect())
    }

    /// Returns the forecast for a new job. O(log n).
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

    /// Returns the number of a team's jobs in an installation. O(1).
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

/// Returns a pause as the scripts encode it: `None` for no reason, or for one that this version does not know.
pub(crate) fn pause(why: &str, left: u64) -> Option<Pause> {
    if why.is_empty() {
        return None;
    }
    let reason = keep_readable(Reason::read(why).ok_or(QueueError::Unexpected("a pause")))?;
    Some(Pause { reason, left: Duration::from_millis(left) })
}
