//! Live part of the board: depth of the lanes, causes of waiting, and the teams that wait most.

use std::collections::BTreeMap;

use domain::{
    BreakerPicture, InstallationId, Lane, LanePicture, PauseCause, PausePicture, PauseScope, QueuePicture,
};

use super::{
    format::span,
    snapshot::{Snapshot, WaitingTeam},
};

/// Most lanes that are shown. Further installations are counted.
const MAX_LANES: usize = 30;

/// Live part of the board.
#[derive(Debug)]
pub(crate) struct Board {
    /// Lanes, those with the oldest jobs first; `None` while Redis is away.
    pub(crate) lanes: Option<Vec<LaneRow>>,
    /// Number of lanes that are not shown.
    pub(crate) hidden_lanes: usize,
    /// Causes of waiting with their numbers of jobs.
    pub(crate) causes: Vec<Cause>,
    /// Largest number among the causes, at least 1.
    pub(crate) most: u64,
    /// Teams with most waiting jobs.
    pub(crate) teams: Vec<TeamRow>,
}

/// One lane of one installation.
#[derive(Debug)]
pub(crate) struct LaneRow {
    pub(crate) lane: Lane,
    pub(crate) installation: InstallationId,
    pub(crate) oldest: String,
    pub(crate) waiting: u64,
    pub(crate) delayed: u64,
    pub(crate) running: u64,
    /// Pause of the lane or the installation, in words.
    pub(crate) pause: Option<String>,
}

/// A cause for which jobs wait.
#[derive(Debug)]
pub(crate) struct Cause {
    pub(crate) label: &'static str,
    pub(crate) jobs: u64,
    pub(crate) link: &'static str,
}

/// Waiting jobs of one team.
#[derive(Debug)]
pub(crate) struct TeamRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) oldest: String,
    pub(crate) waiting: u64,
    /// Those of them that the team's own limit holds.
    pub(crate) held: u64,
    pub(crate) weight: f64,
    pub(crate) share: String,
}

impl From<&WaitingTeam> for TeamRow {
    fn from(team: &WaitingTeam) -> Self {
        Self {
            id: team.id.to_string(),
            name: team.name.clone(),
            oldest: team.oldest.map_or_else(|| "–".to_owned(), span),
            waiting: team.waiting,
            held: team.held,
            weight: team.weight,
            share: team.share.map_or_else(|| "–".to_owned(), |share| format!("{share} %")),
        }
    }
}

impl Board {
    /// Returns the board of a snapshot; configured installations without jobs have empty lanes.
    pub(crate) fn of<'i>(snapshot: &Snapshot, configured: impl Iterator<Item = &'i InstallationId>) -> Self {
        let Some(queue) = &snapshot.picture.queue else {
            return Self { lanes: None, hidden_lanes: 0, causes: Vec::new(), most: 1, teams: Vec::new() };
        };
        let mut lanes = lanes(queue, configured);
        let hidden_lanes = lanes.len().saturating_sub(MAX_LANES);
        lanes.truncate(MAX_LANES);
        let causes = causes(queue);
        let most = causes.iter().map(|cause| cause.jobs).max().unwrap_or_default().max(1);
        let teams = snapshot.teams.iter().map(TeamRow::from).collect();
        Self { lanes: Some(lanes), hidden_lanes, causes, most, teams }
    }
}

fn lanes<'i>(queue: &QueuePicture, configured: impl Iterator<Item = &'i InstallationId>) -> Vec<LaneRow> {
    let mut all: BTreeMap<(&InstallationId, usize), LaneRow> = BTreeMap::new();
    let place = |lane: Lane| Lane::ALL.iter().position(|one| *one == lane).unwrap_or_default();
    for installation in configured {
        for lane in Lane::ALL {
            all.insert((installation, place(*lane)), row(&empty(installation, *lane), queue));
        }
    }
    for lane in &queue.lanes {
        all.insert((&lane.installation, place(lane.lane)), row(lane, queue));
    }
    let mut rows: Vec<LaneRow> = all.into_values().collect();
    let oldest = |row: &LaneRow| {
        let lane =
            queue.lanes.iter().find(|lane| lane.installation == row.installation && lane.lane == row.lane);
        lane.filter(|lane| lane.waiting > 0).map(|lane| lane.oldest).unwrap_or_default()
    };
    rows.sort_by_key(|row| std::cmp::Reverse(oldest(row)));
    rows
}

fn empty(installation: &InstallationId, lane: Lane) -> LanePicture {
    let oldest = std::time::Duration::ZERO;
    LanePicture { installation: installation.clone(), lane, waiting: 0, delayed: 0, running: 0, oldest }
}

fn row(lane: &LanePicture, queue: &QueuePicture) -> LaneRow {
    LaneRow {
        lane: lane.lane,
        installation: lane.installation.clone(),
        oldest: if lane.waiting > 0 { span(lane.oldest) } else { "–".to_owned() },
        waiting: lane.waiting,
        delayed: lane.delayed,
        running: lane.running,
        pause: pause(lane, queue).map(|(cause, left)| {
            let why = match cause {
                PauseCause::Window => "GitHub's hour",
                PauseCause::Outage => "GitHub's outage",
                PauseCause::SecondaryLimit => "GitHub's secondary limit",
                PauseCause::Admin => "an admin",
                PauseCause::Suspended => "GitHub: the App is suspended",
                PauseCause::Refused => "GitHub: it refuses the App",
            };
            format!("paused by {why}, {}", span(left))
        }),
    }
}

/// Returns the longest pause of a lane.
fn pause(lane: &LanePicture, queue: &QueuePicture) -> Option<(PauseCause, std::time::Duration)> {
    let concerns = |scope: &PauseScope| match scope {
        PauseScope::Installation(name) => *name == lane.installation,
        PauseScope::Lane(name) => *name == lane.lane,
    };
    // Other Apps of a pool do the work of one that is paused, unless an admin paused the whole pool.
    let goes_on = queue.pool_goes_on(&lane.installation).is_some();
    let counts = |pause: &&PausePicture| {
        !goes_on || pause.cause == PauseCause::Admin || matches!(pause.scope, PauseScope::Lane(_))
    };
    let pauses = queue.pauses.iter().filter(|pause| concerns(&pause.scope)).filter(counts);
    pauses.max_by_key(|pause| pause.left).map(|pause| (pause.cause, pause.left))
}

/// Returns for what the jobs wait. Each waiting job counts once: for a pause, else for its team's own limit, else for
/// a worker.
fn causes(queue: &QueuePicture) -> Vec<Cause> {
    let (mut limit, mut outage, mut paused, mut free) = (0, 0, 0, 0);
    for lane in &queue.lanes {
        let is_open = queue.budgets.iter().any(|budget| {
            budget.installation == lane.installation && budget.breaker != BreakerPicture::Closed
        });
        let is_open = is_open && queue.pool_goes_on(&lane.installation).is_none();
        match pause(lane, queue).map(|(cause, _)| cause) {
            Some(PauseCause::Window | PauseCause::SecondaryLimit) => limit += lane.waiting,
            Some(PauseCause::Outage) => outage += lane.waiting,
            Some(PauseCause::Admin | PauseCause::Suspended | PauseCause::Refused) => paused += lane.waiting,
            None if is_open => outage += lane.waiting,
            None => free += lane.waiting,
        }
    }
    let held: u64 = queue.teams.iter().map(|team| team.held_in_all).sum::<u64>().min(free);
    let delayed = queue.lanes.iter().map(|lane| lane.delayed).sum();
    vec![
        Cause { label: "A free worker", jobs: free - held, link: "/workers" },
        Cause { label: "The team's own limit", jobs: held, link: "/teams" },
        Cause { label: "GitHub's limits", jobs: limit, link: "/budget" },
        Cause { label: "GitHub to answer again", jobs: outage, link: "/budget" },
        Cause { label: "The end of a pause", jobs: paused, link: "/lanes" },
        Cause { label: "Their next try", jobs: delayed, link: "/jobs?state=queued" },
    ]
}
