//! Picture of the whole service, read once for a verdict.

use chrono::{DateTime, Utc};
use domain::{
    BreakerPicture, BudgetPicture, InstallationId, InstallationPicture, LanePicture, LeaderPicture,
    PauseCause, PausePicture, Picture, QueuePicture, SyncPicture, TeamId, TeamPicture, Verdict,
    WindowPicture, WorkerPicture,
};
use queue::{Breaker, BudgetView, Paused, Queue, QueueError, Reason, TeamBacklog};
use store::{Overview, PauseRow, StoreError, SyncRow, WorkerRow};

use crate::{Operations, Result};

/// Name of the scheduler's lease.
const LEASE_NAME: &str = "scheduler";
/// Most installations whose teams are read.
const MAX_TEAM_READS: usize = 20;

/// Rows of a picture, without the queue.
struct Rows {
    overview: Overview,
    workers: Vec<WorkerRow>,
    syncs: Vec<SyncRow>,
    leader: Option<LeaderPicture>,
    pauses: Vec<PauseRow>,
}

impl Operations<'_> {
    /// Returns the verdict on the state of the service. It also comes while Redis or the database is away.
    ///
    /// # Errors
    /// Errors of the database other than its absence.
    pub async fn verdict(&self, now: DateTime<Utc>) -> Result<Verdict> {
        Ok(Verdict::of(&self.picture(now).await?))
    }

    /// Returns the facts of a verdict: a handful of bounded statements, then a handful of scripts. `now` is their time
    /// while the database is away. They also come while Redis or the database is away.
    ///
    /// # Errors
    /// Errors of the database other than its absence.
    pub async fn picture(&self, now: DateTime<Utc>) -> Result<Picture> {
        let rows = match self.rows().await {
            Ok(rows) => rows,
            Err(StoreError::Unavailable(error)) => {
                tracing::warn!(%error, "database unavailable");
                return Ok(Picture::without_database(now));
            }
            Err(error) => return Err(error.into()),
        };
        let mut queue = match read_queue(self.queue).await {
            Ok(queue) => Some(queue),
            Err(error) => {
                tracing::warn!(%error, "queue unavailable");
                None
            }
        };
        if let Some(queue) = &mut queue {
            for pause in &mut queue.0.pauses {
                explain(pause, &rows.pauses);
            }
        }
        let queue = match queue {
            Some((queue, backlogs)) => Some(self.with_teams(queue, &backlogs).await?),
            None => None,
        };
        let away_for = if queue.is_none() { self.queue.unanswered_for() } else { None };
        Ok(Picture { queue_away_for: away_for, ..rows.into_picture(queue) })
    }

    async fn rows(&self) -> std::result::Result<Rows, StoreError> {
        let mut conn = self.store.conn().await?;
        let overview = conn.overviews().read().await?;
        let workers = conn.workers().list().await?;
        let syncs = conn.sync_runs().statuses().await?;
        let leader = conn.leases().get(LEASE_NAME).await?;
        let leader = leader.map(|lease| LeaderPicture { leads: lease.holds, renewed_at: lease.renewed_at });
        let pauses = conn.pauses().list().await?;
        Ok(Rows { overview, workers, syncs, leader, pauses })
    }

    /// Adds the team with most waiting jobs of each installation, by its name.
    async fn with_teams(&self, queue: QueuePicture, backlogs: &[Backlog]) -> Result<QueuePicture> {
        let ids: Vec<TeamId> = backlogs.iter().map(|backlog| backlog.largest.team).collect();
        let names = match self.store.conn().await {
            Ok(mut conn) if !ids.is_empty() => conn.overviews().team_names(&ids).await?,
            _ => Vec::new(),
        };
        let teams = backlogs.iter().map(|backlog| TeamPicture {
            installation: backlog.installation.clone(),
            team: names
                .iter()
                .find(|(id, _)| *id == backlog.largest.team)
                .map_or_else(|| backlog.largest.team.to_string(), |(_, name)| name.clone()),
            waiting: backlog.largest.waiting,
            held: backlog.largest.aside,
            held_in_all: backlog.held_in_all,
        });
        Ok(QueuePicture { teams: teams.collect(), ..queue })
    }
}

impl Rows {
    fn into_picture(self, queue: Option<QueuePicture>) -> Picture {
        let installations = self.overview.installations.into_iter().map(|row| InstallationPicture {
            installation: row.installation,
            suspended: row.suspended,
            refusal: row.refusal,
        });
        Picture {
            at: self.overview.now,
            database_answers: true,
            queue,
            queue_away_for: None,
            installations: installations.collect(),
            workers: self.workers.into_iter().map(worker).collect(),
            moved_lately: self.overview.moved_lately,
            syncs: self.syncs.into_iter().filter_map(sync).collect(),
            leader: self.leader,
            ended_last_minute: self.overview.ended_last_minute,
            events: self.overview.events,
        }
    }
}

/// Waiting jobs of one installation.
struct Backlog {
    installation: InstallationId,
    largest: TeamBacklog,
    held_in_all: u64,
}

async fn read_queue(queue: &Queue) -> std::result::Result<(QueuePicture, Vec<Backlog>), QueueError> {
    let lanes: Vec<LanePicture> = queue.stats().await?.lanes.into_iter().map(lane).collect();
    let pauses = queue.pauses().await?.into_iter().map(pause).collect();
    let budgets = queue.budget().await?.into_iter().map(budget).collect();
    let mut waiting: Vec<&InstallationId> =
        lanes.iter().filter(|lane| lane.waiting > 0).map(|lane| &lane.installation).collect();
    waiting.dedup();
    let mut backlogs = Vec::new();
    for installation in waiting.into_iter().take(MAX_TEAM_READS) {
        let teams = queue.team_backlogs(installation).await?;
        let held_in_all = teams.iter().map(|team| team.aside).sum();
        if let Some(largest) = teams.into_iter().max_by_key(|team| (team.waiting, team.team)) {
            backlogs.push(Backlog { installation: installation.clone(), largest, held_in_all });
        }
    }
    Ok((QueuePicture { lanes, pauses, budgets, teams: Vec::new() }, backlogs))
}

fn lane(stats: queue::LaneStats) -> LanePicture {
    LanePicture {
        installation: stats.installation,
        lane: stats.lane,
        waiting: stats.waiting,
        delayed: stats.delayed,
        running: stats.running,
        oldest: stats.oldest_age,
    }
}

fn pause(paused: Paused) -> PausePicture {
    let cause = match paused.pause.reason {
        Reason::Budget => PauseCause::Window,
        Reason::GithubOutage => PauseCause::Outage,
        Reason::SecondaryLimit => PauseCause::SecondaryLimit,
        Reason::Admin => PauseCause::Admin,
        Reason::Suspended => PauseCause::Suspended,
        Reason::Refused => PauseCause::Refused,
    };
    PausePicture { scope: paused.scope, cause, left: paused.pause.left, by: None, reason: None }
}

/// Adds the author and the reason of an admin's pause.
fn explain(pause: &mut PausePicture, rows: &[PauseRow]) {
    let admin = pause.cause == PauseCause::Admin;
    if let Some(row) = rows.iter().find(|row| admin && row.scope == pause.scope) {
        pause.by = Some(row.by.clone());
        pause.reason.clone_from(&row.reason);
    }
}

fn budget(view: BudgetView) -> BudgetPicture {
    let window = |window: queue::Window| WindowPicture {
        resource: window.resource,
        limit: window.limit,
        remaining: window.remaining,
        reset_in: window.reset_in,
    };
    let points = view.points.into_iter().max_by_key(|points| points.used);
    BudgetPicture {
        installation: view.installation,
        pool: view.pool,
        breaker: match view.breaker {
            Breaker::Closed => BreakerPicture::Closed,
            Breaker::Open { left } => BreakerPicture::Open(left),
            Breaker::HalfOpen => BreakerPicture::HalfOpen,
        },
        windows: view.resources.into_iter().map(window).collect(),
        points: points.map(|points| (points.endpoint, points.used)),
        points_limit: view.points_limit,
        registrations: view.registrations_used,
        registrations_limit: view.registrations_limit,
        writes_per_minute: view.mutation_rate_per_minute,
    }
}

fn worker(row: WorkerRow) -> WorkerPicture {
    WorkerPicture {
        name: row.name,
        heartbeat_at: row.heartbeat_at,
        takes_jobs: row.alive && row.drain_requested_at.is_none(),
        slots: row.concurrency.max(0).unsigned_abs().into(),
        installations: row.installations,
    }
}

/// Returns the sync state of an installation that has had a run.
fn sync(row: SyncRow) -> Option<SyncPicture> {
    let seconds = u64::try_from(row.interval_seconds?).ok()?;
    Some(SyncPicture {
        installation: row.installation,
        interval: std::time::Duration::from_secs(seconds),
        last: row.last_sync_time,
        held: row.removals_held.max(0).unsigned_abs().into(),
    })
}
