//! State of the whole service as every page shows it, read at most once a second for all visitors.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use domain::{InstallationId, Picture, TeamId, Verdict};
use store::FlowSpan;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{app::AppState, error::ApiResult};

/// Age up to which a snapshot is shown again without a read.
const FRESH: Duration = Duration::from_secs(1);
/// Longest time that a page waits for a snapshot; the read goes on.
const MAX_WAIT: Duration = Duration::from_millis(600);
/// Age from which a snapshot is no longer shown: it would hide that the state is unknown.
const TOO_OLD: Duration = Duration::from_mins(1);

/// Most installations whose teams are read.
const MAX_TEAM_READS: usize = 20;
/// Most teams that are shown.
const MAX_TEAMS: usize = 8;

/// State of the whole service at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) picture: Picture,
    pub(crate) verdict: Verdict,
    /// Jobs that failed or expired in the last hour; `None` if it could not be read.
    pub(crate) failed_last_hour: Option<i64>,
    /// Teams with most waiting jobs, of all installations.
    pub(crate) teams: Vec<WaitingTeam>,
    taken: Instant,
}

/// Waiting jobs of one team in all installations.
#[derive(Debug)]
pub(crate) struct WaitingTeam {
    pub(crate) id: TeamId,
    pub(crate) name: String,
    pub(crate) waiting: u64,
    /// Those of them that the team's own limit holds.
    pub(crate) held: u64,
    /// Weight in the fair queue.
    pub(crate) weight: f64,
    /// Age of the oldest queued job.
    pub(crate) oldest: Option<Duration>,
    /// Part of the jobs that started in the last hour, in percent; `None` if none started.
    pub(crate) share: Option<u64>,
}

/// The newest snapshot of this process.
#[derive(Debug)]
pub(crate) struct Snapshots {
    latest: watch::Sender<Option<Arc<Snapshot>>>,
    is_reading: Arc<AtomicBool>,
    /// Time at which the database last answered a page.
    database_seen: Mutex<Option<DateTime<Utc>>>,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { latest: watch::Sender::new(None), is_reading: Arc::default(), database_seen: Mutex::default() }
    }
}

/// Clears the mark of a read when it ends, even if it panics.
struct Reading(Arc<AtomicBool>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Snapshots {
    /// Returns a snapshot of the last second if it can be read in time, else the last one of the last minute.
    pub(crate) async fn get(&self, app: &AppState) -> Option<Arc<Snapshot>> {
        if let Some(snapshot) = self.within(FRESH) {
            return Some(snapshot);
        }
        let mut news = self.latest.subscribe();
        if !self.is_reading.swap(true, Ordering::AcqRel) {
            let (app, latest, reading) = (app.clone(), self.latest.clone(), Reading(self.is_reading.clone()));
            tokio::spawn(async move {
                let _reading = reading;
                match read(&app).await {
                    Ok(snapshot) => {
                        latest.send_replace(Some(Arc::new(snapshot)));
                    }
                    Err(error) => {
                        tracing::warn!(detail = error.0.detail, "state of the service could not be read");
                    }
                }
            });
        }
        let _too_late = timeout(MAX_WAIT, news.changed()).await;
        self.within(TOO_OLD)
    }

    /// Remembers that the database answers now.
    pub(super) fn note_database(&self) {
        *self.database_seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Utc::now());
    }

    /// Returns the time at which the database last answered a page of this process.
    pub(super) fn database_seen(&self) -> Option<DateTime<Utc>> {
        *self.database_seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn within(&self, age: Duration) -> Option<Arc<Snapshot>> {
        self.latest.borrow().clone().filter(|snapshot| snapshot.taken.elapsed() < age)
    }
}

async fn read(app: &AppState) -> ApiResult<Snapshot> {
    let taken = Instant::now();
    let picture = app.operations().picture(Utc::now()).await?;
    let failed_last_hour = match app.store.conn().await {
        Ok(mut conn) if picture.database_answers => conn.flow().failed_last_hour().await.ok(),
        _ => None,
    };
    let verdict = Verdict::of(&picture);
    let teams = waiting_teams(app, &picture).await.unwrap_or_default();
    Ok(Snapshot { picture, verdict, failed_last_hour, teams, taken })
}

/// Returns the teams with most waiting jobs. A store that is away leaves the list empty: the verdict says so.
async fn waiting_teams(app: &AppState, picture: &Picture) -> ApiResult<Vec<WaitingTeam>> {
    let lanes =
        picture.queue.iter().flat_map(|queue| &queue.lanes).filter(|lane| lane.waiting + lane.delayed > 0);
    let installations: BTreeSet<&InstallationId> = lanes.map(|lane| &lane.installation).collect();
    let mut sums: BTreeMap<TeamId, (u64, u64)> = BTreeMap::new();
    for installation in installations.into_iter().take(MAX_TEAM_READS) {
        for team in app.queue.team_backlogs(installation).await? {
            let sum = sums.entry(team.team).or_default();
            *sum = (sum.0 + team.waiting, sum.1 + team.aside);
        }
    }
    let mut most: Vec<(TeamId, (u64, u64))> =
        sums.into_iter().filter(|(_, (waiting, _))| *waiting > 0).collect();
    most.sort_by_key(|(_, (waiting, _))| Reverse(*waiting));
    most.truncate(MAX_TEAMS);
    if most.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<TeamId> = most.iter().map(|(id, _)| *id).collect();
    let mut conn = app.store.conn().await?;
    let facts = conn.overviews().team_queues(&ids).await?;
    let hour = FlowSpan { since: picture.at - TimeDelta::hours(1), until: picture.at };
    let flow = conn.flow().teams(hour).await?;
    let started = flow.iter().map(|team| team.counts.started).sum::<i64>();
    let row = |(id, (waiting, held)): (TeamId, (u64, u64))| {
        let fact = facts.iter().find(|fact| fact.team == id);
        let own = flow.iter().find(|team| team.team == id).map_or(0, |team| team.counts.started);
        WaitingTeam {
            id,
            name: fact.map_or_else(|| id.to_string(), |fact| fact.name.clone()),
            waiting,
            held,
            weight: fact.map_or(1.0, |fact| fact.weight),
            oldest: fact.and_then(|fact| (picture.at - fact.oldest?).to_std().ok()),
            share: (started > 0).then(|| (own * 100 / started).unsigned_abs()),
        }
    };
    Ok(most.into_iter().map(row).collect())
}
