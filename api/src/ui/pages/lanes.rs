//! Lanes: depth of the queue, and pauses of lanes and installations.

mod pause;

use std::collections::BTreeMap;

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{InstallationId, Lane, ProblemCode};

use super::words;
use crate::{
    app::AppState,
    error::ApiError,
    routes::admin::queues::{LaneView, PauseView, Queues, queue_status},
    ui::{
        Frame, OverseeingVisitor, Section, UiResult, UiRoutes,
        format::{count, number, span},
        page,
    },
};

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new()
        .get("/lanes", show)
        .get("/lanes/{lane}/pause", pause::preview_lane)
        .post("/lanes/{lane}/pause", pause::pause_lane)
        .post("/lanes/{lane}/resume", pause::resume_lane)
        .get("/installations/{installation}/pause", pause::preview_installation)
        .post("/installations/{installation}/pause", pause::pause_installation)
        .post("/installations/{installation}/resume", pause::resume_installation)
}

/// Depths and pauses.
#[derive(Template)]
#[template(path = "lanes.html")]
struct LanesPage {
    frame: Frame,
    /// `None` while the queue is away.
    queue: Option<QueueTables>,
}

/// The queue, by lane and by installation.
struct QueueTables {
    lanes: Vec<LaneTotal>,
    installations: Vec<InstallationLanes>,
}

/// One lane of all installations.
struct LaneTotal {
    lane: Lane,
    depth: Depth,
    pause: Option<PauseNote>,
}

/// All lanes of one installation.
struct InstallationLanes {
    name: String,
    /// The pool whose further App it is: its jobs wait in the lanes of that pool.
    pool: Option<String>,
    /// Path of its pages.
    path: String,
    lanes: Vec<(Lane, Depth)>,
    pauses: Vec<PauseNote>,
    /// Whether an admin paused it.
    held: bool,
}

/// Numbers of jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Depth {
    pub(super) waiting: u64,
    pub(super) delayed: u64,
    pub(super) running: u64,
    pub(super) oldest: f64,
}

impl Depth {
    /// Returns the sum of these lanes, with the age of the oldest job of all.
    pub(super) fn of<'l>(lanes: impl Iterator<Item = &'l LaneView>) -> Self {
        lanes.fold(Self::default(), |sum, lane| Self {
            waiting: sum.waiting + lane.waiting,
            delayed: sum.delayed + lane.delayed,
            running: sum.running + lane.running,
            oldest: sum.oldest.max(lane.oldest_age_seconds),
        })
    }

    /// Returns the age of the oldest waiting job.
    fn oldest(&self) -> String {
        if self.waiting == 0 { "–".to_owned() } else { span(self.oldest) }
    }

    /// Returns what a pause does to these jobs, in a sentence.
    fn held(&self) -> String {
        let waiting = count(self.waiting, "job waits and goes", "jobs wait and go");
        let delayed = match self.delayed {
            0 => String::new(),
            1 => ", like 1 more that may not start yet".to_owned(),
            some => format!(", like {} more that may not start yet", number(some)),
        };
        let running = count(self.running, "that runs ends", "that run end");
        format!("{waiting} on waiting{delayed}; {running}.")
    }
}

impl LaneTotal {
    fn noun(&self) -> &'static str {
        words::lane_noun(self.lane)
    }
}

/// A pause in words.
pub(super) struct PauseNote {
    pub(super) view: PauseView,
    pub(super) by_admin: bool,
}

impl PauseNote {
    pub(super) fn new(view: PauseView) -> Self {
        Self { by_admin: view.reason == "admin", view }
    }

    /// Returns why the jobs are paused.
    pub(super) fn cause(&self) -> String {
        match (self.view.reason, &self.view.paused_by) {
            ("admin", Some(by)) => format!("paused by {by}"),
            ("admin", None) => {
                "paused, because an earlier release paused it or GitHub suspended the App".to_owned()
            }
            ("suspended", _) => "GitHub has suspended the App".to_owned(),
            ("refused", _) => {
                "GitHub refuses the calls of this App, and the others of its pool go on".to_owned()
            }
            ("budget", _) => "GitHub's hourly window is used up".to_owned(),
            ("secondary_limit", _) => "GitHub reported a secondary limit".to_owned(),
            _ => "GitHub is failing".to_owned(),
        }
    }

    /// Returns the time that is left.
    pub(super) fn left(&self) -> String {
        span(self.view.seconds_left)
    }
}

impl QueueTables {
    fn new(queues: Queues, further_apps: &BTreeMap<InstallationId, InstallationId>) -> Self {
        let (of_lanes, of_installations): (Vec<PauseView>, Vec<PauseView>) =
            queues.pauses.into_iter().partition(|pause| pause.lane.is_some());
        let mut of_lanes: Vec<PauseNote> = of_lanes.into_iter().map(PauseNote::new).collect();
        let lanes = Lane::ALL.iter().map(|lane| {
            let here = of_lanes.iter().position(|pause| pause.view.lane.as_deref() == Some(lane.as_str()));
            LaneTotal {
                lane: *lane,
                depth: Depth::of(queues.lanes.iter().filter(|row| row.lane == *lane)),
                pause: here.map(|at| of_lanes.swap_remove(at)),
            }
        });
        let lanes = lanes.collect();
        let mut by_name: BTreeMap<String, InstallationLanes> = BTreeMap::new();
        let mut order = Vec::new();
        for row in queues.lanes {
            let name = row.installation.clone();
            let entry = by_name.entry(name.clone()).or_insert_with(|| {
                order.push(name.clone());
                InstallationLanes::named(name)
            });
            entry.lanes.push((row.lane, Depth::of([&row].into_iter())));
        }
        for (app, pool) in further_apps {
            let name = app.to_string();
            let entry =
                InstallationLanes { pool: Some(pool.to_string()), ..InstallationLanes::named(name.clone()) };
            by_name.insert(name.clone(), entry);
            order.push(name);
        }
        for pause in of_installations {
            let Some(name) = pause.installation.clone() else { continue };
            let entry = by_name.entry(name.clone()).or_insert_with(|| {
                order.push(name.clone());
                InstallationLanes::named(name)
            });
            let note = PauseNote::new(pause);
            entry.held |= note.by_admin;
            entry.pauses.push(note);
        }
        let installations = order.iter().filter_map(|name| by_name.remove(name)).collect();
        Self { lanes, installations }
    }
}

impl InstallationLanes {
    fn named(name: String) -> Self {
        let path = words::path(&["installations", &name]);
        Self { name, pool: None, path, lanes: Vec::new(), pauses: Vec::new(), held: false }
    }
}

/// Returns the queue, `None` while it is away.
pub(super) async fn read_queue(app: &AppState) -> UiResult<Option<Queues>> {
    match queue_status(app).await {
        Ok(queues) => Ok(Some(queues.0)),
        Err(ApiError(problem)) if problem.code == ProblemCode::QueueUnavailable => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Shows depths and pauses.
async fn show(
    State(app): State<AppState>,
    OverseeingVisitor(visitor): OverseeingVisitor,
) -> UiResult<Response> {
    let queue = read_queue(&app).await?.map(|queues| QueueTables::new(queues, &app.further_apps));
    page(&LanesPage { frame: Frame::new(&app, &visitor, Section::Lanes, "Lanes").await, queue })
}
