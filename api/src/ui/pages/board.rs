//! Board: course and depth of the queue, for what jobs wait, and the numbers behind its charts.

use askama::Template;
use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use domain::{Caller, FlowPoint, Job, QueuePicture};
use serde::Deserialize;
use store::{DepthPoint, FlowSpan, JobFilter, Lists, Page, StoreError, Visible};

use crate::{
    app::AppState,
    body::Params,
    error::ApiResult,
    layers,
    ui::{
        Frame, OverseeingVisitor, Section, UiError, UiResult, UiRoutes, Visitor,
        board::Board,
        course::{Course, Reach},
        depth::{self, DepthCourse, DepthNumbers},
        notice, page, readable,
    },
};

/// Newest jobs that are shown.
const NEWEST: Page = Page { limit: 10, offset: 0, before: None };

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new().get("/", show).get("/numbers", numbers)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BoardParams {
    #[serde(default)]
    span: Reach,
}

#[derive(Template)]
#[template(path = "board.html")]
struct BoardPage {
    frame: Frame,
    board: Option<Board>,
    reach: Reach,
    /// `None` if the database took too long.
    course: Option<Course>,
    depths: Option<DepthCourse>,
    newest: Vec<Job>,
}

/// The board of admins and viewers; members begin with their runners. Programs that open `/` find no page.
async fn show(
    State(app): State<AppState>,
    headers: HeaderMap,
    visitor: Result<Visitor, UiError>,
    Params(params): Params<BoardParams>,
) -> UiResult<Response> {
    if !readable::wants_page(&headers) {
        return Ok(layers::unknown_path().await.into_response());
    }
    let visitor = visitor?;
    if !visitor.caller.sees_everything() {
        return Ok(notice::redirect(Section::Runners.path()));
    }
    let frame = Frame::new(&app, &visitor, Section::Board, "Board").await;
    let snapshot = frame.snapshot.clone();
    let queue = snapshot.as_deref().and_then(|snapshot| snapshot.picture.queue.as_ref());
    let at = snapshot.as_deref().map_or_else(Utc::now, |snapshot| snapshot.picture.at);
    let read = read(&app, &visitor.caller, params.span, Now { at, open: queue.map_or(0, open_jobs) }).await;
    let (course, depths, newest) = match read {
        Ok(History { course, depths, newest }) => (Some(course), Some(depths), newest),
        Err(error) => {
            tracing::info!(detail = error.0.detail, "board without its course");
            (None, None, Vec::new())
        }
    };
    let board = snapshot.as_deref().map(|snapshot| Board::of(snapshot, app.installations.keys()));
    page(&BoardPage { frame, board, reach: params.span, course, depths, newest })
}

/// The numbers behind the charts of the board.
#[derive(Template)]
#[template(path = "numbers.html")]
struct NumbersPage {
    frame: Frame,
    reach: Reach,
    course: Course,
    depths: Vec<DepthNumbers>,
}

/// Shows the charts of the board as tables.
async fn numbers(
    State(app): State<AppState>,
    OverseeingVisitor(visitor): OverseeingVisitor,
    Params(params): Params<BoardParams>,
) -> UiResult<Response> {
    let frame = Frame::new(&app, &visitor, Section::Board, "Numbers of the board").await;
    let snapshot = frame.snapshot.as_deref();
    let queue = snapshot.and_then(|snapshot| snapshot.picture.queue.as_ref());
    let at = snapshot.map_or_else(Utc::now, |snapshot| snapshot.picture.at);
    let (reach, span) = (params.span, params.span.span(at));
    let mut lists = app.lists(&visitor.caller).await?;
    let rows = points(&mut lists, reach, span).await;
    let (flow, depths) = lists.respond(rows, |rows| rows)?.into_body();
    let course = Course::of(reach, span, &flow, queue.map_or(0, open_jobs));
    page(&NumbersPage { frame, reach, course, depths: depth::numbers(&depths) })
}

/// Time of the board, and the number of jobs that are open then.
struct Now {
    at: DateTime<Utc>,
    open: i64,
}

fn open_jobs(queue: &QueuePicture) -> i64 {
    let open: u64 = queue.lanes.iter().map(|lane| lane.waiting + lane.delayed + lane.running).sum();
    i64::try_from(open).unwrap_or(i64::MAX)
}

/// What the board shows of the past.
struct History {
    course: Course,
    depths: DepthCourse,
    newest: Vec<Job>,
}

async fn read(app: &AppState, caller: &Caller, reach: Reach, now: Now) -> ApiResult<History> {
    let span = reach.span(now.at);
    let mut lists = app.lists(caller).await?;
    let rows = rows(&mut lists, caller, reach, span).await;
    let (flow, depths, newest) = lists.respond(rows, |rows| rows)?.into_body();
    let course = Course::of(reach, span, &flow, now.open);
    Ok(History { course, depths: DepthCourse::of(reach, span, &depths), newest })
}

async fn rows(
    lists: &mut Lists,
    caller: &Caller,
    reach: Reach,
    span: FlowSpan,
) -> Result<(Vec<FlowPoint>, Vec<DepthPoint>, Vec<Job>), StoreError> {
    let (flow, depths) = points(lists, reach, span).await?;
    let newest = lists.jobs().list(&Visible::to(caller), &JobFilter::default(), NEWEST).await?;
    Ok((flow, depths, newest.items))
}

async fn points(
    lists: &mut Lists,
    reach: Reach,
    span: FlowSpan,
) -> Result<(Vec<FlowPoint>, Vec<DepthPoint>), StoreError> {
    let flow = lists.flow().points(span, None).await?;
    Ok((flow, lists.queue_depths().points(span, reach.steps().0).await?))
}
