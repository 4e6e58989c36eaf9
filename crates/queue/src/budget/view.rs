//! View of the budgets for the API and metrics.

use std::{str::FromStr, time::Duration};

use domain::{InstallationId, Lane, TeamId};

use crate::{Pause, Queue, QueueError, Scope, readable::readable, scripts};

/// State of a primary window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// `x-ratelimit-resource`.
    pub resource: String,
    /// Requests in a whole window.
    pub limit: u64,
    /// Requests left, after all charges.
    pub remaining: u64,
    /// Time until the next window.
    pub reset_in: Duration,
    /// Requests each lane used in this window.
    pub lanes: Vec<(Lane, u64)>,
    /// Requests each team used in this window: the 50 largest, in descending order.
    pub teams: Vec<(TeamId, u64)>,
}

/// Points used on one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Points {
    /// The endpoint.
    pub endpoint: String,
    /// Points used in about the last minute.
    pub used: u64,
}

/// State of the circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// GitHub responds.
    Closed,
    /// GitHub counts as down; no request is sent.
    Open {
        /// Time until a probe is sent.
        left: Duration,
    },
    /// The response to the next probe decides.
    HalfOpen,
}

impl Breaker {
    pub(super) fn read(word: &str, left: u64) -> Result<Self, QueueError> {
        match word {
            "closed" => Ok(Self::Closed),
            "open" => Ok(Self::Open { left: Duration::from_millis(left) }),
            "half_open" => Ok(Self::HalfOpen),
            _ => Err(QueueError::Unexpected("a breaker")),
        }
    }
}

/// Budget of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetView {
    /// The installation.
    pub installation: InstallationId,
    /// Its App pool; itself if it is alone or the first of its pool.
    pub pool: InstallationId,
    /// Known primary windows that are not over.
    pub resources: Vec<Window>,
    /// Allowed writes a minute; fewer than the points allow after a secondary limit.
    pub mutation_rate_per_minute: u64,
    /// Points per endpoint.
    pub points: Vec<Points>,
    /// Points of one minute and endpoint; `None` without limits.
    pub points_limit: Option<u64>,
    /// Registrations in about the last period.
    pub registrations_used: u64,
    /// Registrations of one period; `None` without limits, and for a further App, whose pool counts them.
    pub registrations_limit: Option<u64>,
    /// Jobs that workers hold and that it pays for.
    pub running: u64,
    /// The circuit breaker.
    pub breaker: Breaker,
    /// Pauses of the installation.
    pub pauses: Vec<Pause>,
    /// Time left for the response to the probe in flight; zero if the next request is the probe. `None` if no probe is
    /// required.
    pub probe: Option<Duration>,
}

/// Names with the requests each used.
type Spent = Vec<(String, u64)>;
type WindowRow = (String, u64, u64, u64, Spent, Spent);
type Row = (String, u64, u64, u64, String, u64, i64, Vec<WindowRow>, Vec<(String, u64)>, u64, u64, String);

impl Queue {
    /// Returns the budget of every installation with jobs or recorded limits, by name; at most 1,000.
    pub async fn budget(&self) -> Result<Vec<BudgetView>, QueueError> {
        let rows: Vec<Row> = self.run(&scripts::BUDGETS, &[]).await?;
        let pauses = self.pauses().await?;
        let mut views: Vec<_> = readable(rows.into_iter().map(read));
        for view in &mut views {
            let here = Scope::Installation(view.installation.clone());
            view.pauses = pauses.iter().filter(|p| p.scope == here).map(|p| p.pause).collect();
        }
        views.sort_by(|a, b| a.installation.cmp(&b.installation));
        Ok(views)
    }
}

fn read(row: Row) -> Result<BudgetView, QueueError> {
    let (
        installation,
        running,
        rate,
        registrations,
        state,
        left,
        probe,
        windows,
        points,
        most_points,
        most,
        pool,
    ) = row;
    let id = |name: &str| name.parse().map_err(|_| QueueError::Unexpected("an installation"));
    let limit = |number: u64| Some(number).filter(|number| *number > 0);
    Ok(BudgetView {
        installation: id(&installation)?,
        pool: id(&pool)?,
        resources: windows.into_iter().map(read_window).collect(),
        mutation_rate_per_minute: rate,
        points: points.into_iter().map(|(endpoint, used)| Points { endpoint, used }).collect(),
        points_limit: limit(most_points),
        registrations_used: registrations,
        registrations_limit: limit(most),
        running,
        breaker: Breaker::read(&state, left)?,
        pauses: Vec::new(),
        probe: u64::try_from(probe).ok().map(Duration::from_millis),
    })
}

fn read_window(row: WindowRow) -> Window {
    let (resource, limit, remaining, reset, lanes, teams) = row;
    Window {
        resource,
        limit,
        remaining,
        reset_in: Duration::from_millis(reset),
        lanes: spent(lanes),
        teams: spent(teams),
    }
}

fn spent<T: FromStr>(rows: Spent) -> Vec<(T, u64)> {
    readable(rows.into_iter().map(|(name, number): (String, u64)| {
        Ok((name.parse().map_err(|_| QueueError::Unexpected("an account"))?, number))
    }))
}
