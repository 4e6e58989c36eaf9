//! Flow of jobs: how many were accepted, started and ended, and how long they waited and ran.

use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{FLOW_BOUNDS_MS, FlowCounts, FlowPoint, InstallationId, Problem, TeamFlow, merge_flow};
use serde::{Deserialize, Serialize};
use store::{FlowSpan, Lists, StoreError};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    app::AppState, body::Params, caller::SeesAll, error::ApiResult, lists::Listing, openapi::problems,
};

/// Shortest and longest step, in seconds.
const STEP: (i64, i64) = (60, 86_400);
/// Most steps in one answer.
const MAX_STEPS: i64 = 1500;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Span, step and filter of the flow.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FlowParams {
    /// Begin of the span; by default one hour before its end.
    #[param(value_type = Option<String>)]
    pub(crate) since: Option<DateTime<Utc>>,
    /// End of the span; by default now.
    #[param(value_type = Option<String>)]
    pub(crate) until: Option<DateTime<Utc>>,
    /// Seconds of one point, a multiple of 60.
    #[param(minimum = 60, maximum = 86400, default = 60)]
    pub(crate) step: Option<i64>,
    /// Only of this installation.
    #[param(value_type = Option<String>, max_length = 40, pattern = "^[a-z0-9-]*$")]
    pub(crate) installation: Option<String>,
}

/// Numbers of jobs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FlowCounts)]
pub(crate) struct CountsView {
    /// Accepted jobs.
    pub(crate) accepted: i64,
    /// Jobs that started for the first time.
    pub(crate) started: i64,
    /// Jobs that succeeded.
    pub(crate) succeeded: i64,
    /// Jobs that failed.
    pub(crate) failed: i64,
    /// Jobs that expired.
    pub(crate) expired: i64,
    /// Jobs that were cancelled.
    pub(crate) cancelled: i64,
}

/// Jobs of one kind and one installation in one step.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FlowPoint)]
pub(crate) struct PointView {
    /// Begin of the step.
    pub(crate) at: DateTime<Utc>,
    /// The installation.
    pub(crate) installation: String,
    /// Kind of the jobs.
    #[schema(example = "provision")]
    pub(crate) kind: String,
    /// Numbers of jobs.
    #[serde(flatten)]
    pub(crate) counts: CountsView,
    /// Times from acceptance to the first start, of the jobs that started: number of jobs in each bucket.
    pub(crate) wait: Vec<i64>,
    /// Times from the newest start to the end, of the jobs that succeeded or failed: number of jobs in each bucket.
    pub(crate) run: Vec<i64>,
}

/// Jobs of one team in the whole span.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TeamFlow)]
pub(crate) struct TeamFlowView {
    /// The team.
    pub(crate) team_id: Uuid,
    /// Numbers of jobs.
    #[serde(flatten)]
    pub(crate) counts: CountsView,
}

/// Flow of jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FlowView {
    /// Seconds of one point.
    pub(crate) step_seconds: i64,
    /// Time before which every minute is counted; the flow of later minutes is not known yet.
    pub(crate) closed_until: Option<DateTime<Utc>>,
    /// Upper bounds of the buckets of `wait` and `run`, in milliseconds; the last bucket has no bound.
    pub(crate) bounds_ms: &'static [i64],
    /// Steps with jobs, by time, installation and kind. Minutes older than 48 hours are known by the hour.
    pub(crate) points: Vec<PointView>,
    /// The 50 busiest teams of the span, busiest first; of all installations.
    pub(crate) teams: Vec<TeamFlowView>,
}

impl From<FlowCounts> for CountsView {
    fn from(counts: FlowCounts) -> Self {
        let FlowCounts { accepted, started, succeeded, failed, expired, cancelled } = counts;
        Self { accepted, started, succeeded, failed, expired, cancelled }
    }
}

impl From<FlowPoint> for PointView {
    fn from(point: FlowPoint) -> Self {
        Self {
            at: point.at,
            installation: point.installation,
            kind: point.kind,
            counts: point.counts.into(),
            wait: point.wait.to_vec(),
            run: point.run.to_vec(),
        }
    }
}

impl From<TeamFlow> for TeamFlowView {
    fn from(flow: TeamFlow) -> Self {
        Self { team_id: flow.team.uuid(), counts: flow.counts.into() }
    }
}

/// Returns the span and the step of a request.
fn span(params: &FlowParams) -> Result<(FlowSpan, i64), Problem> {
    let step = params.step.unwrap_or(STEP.0);
    if !(STEP.0..=STEP.1).contains(&step) || step % 60 != 0 {
        return Err(Problem::field("query:step", "60 to 86400, a multiple of 60"));
    }
    let until = params.until.unwrap_or_else(Utc::now);
    let since = params.since.or_else(|| until.checked_sub_signed(TimeDelta::hours(1)));
    let since = since.filter(|since| *since < until && since.timestamp() >= 0);
    let since = since.ok_or_else(|| Problem::field("query:since", "a time before the end of the span"))?;
    if (until - since).num_seconds() / step > MAX_STEPS {
        return Err(Problem::field("query:step", "the span has more than 1500 steps; use a longer step"));
    }
    Ok((FlowSpan { since, until }, step))
}

/// Points, teams, and the time before which every minute is counted.
type Read = (Vec<FlowPoint>, Vec<TeamFlow>, Option<DateTime<Utc>>);

async fn read(
    lists: &mut Lists,
    span: FlowSpan,
    installation: Option<&InstallationId>,
) -> Result<Read, StoreError> {
    let points = lists.flow().points(span, installation.map(InstallationId::as_str)).await?;
    let teams = lists.flow().teams(span).await?;
    Ok((points, teams, lists.flow().closed_until().await?))
}

problems! { FlowProblems: AdminRequired, ValidationFailed; }

/// Show how many jobs were accepted, started and ended, and how long they waited and ran.
///
/// For admins and viewers, by time, installation and kind. A minute is known some seconds after its end.
#[utoipa::path(
    get, path = "/admin/flow", tag = "admin", params(FlowParams),
    responses((status = 200, description = "The flow", body = FlowView), FlowProblems),
)]
pub(crate) async fn show(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
    Params(params): Params<FlowParams>,
) -> ApiResult<Listing<FlowView>> {
    let (span, step_seconds) = span(&params)?;
    let installation = params.installation.as_deref().map(str::parse::<InstallationId>).transpose();
    let installation =
        installation.map_err(|error| Problem::field("query:installation", error.to_string()))?;
    let mut lists = app.lists(&caller).await?;
    let read = read(&mut lists, span, installation.as_ref()).await;
    lists.respond(read, |(points, teams, closed_until)| FlowView {
        step_seconds,
        closed_until,
        bounds_ms: &FLOW_BOUNDS_MS,
        points: merge_flow(points, step_seconds).into_iter().map(PointView::from).collect(),
        teams: teams.into_iter().map(TeamFlowView::from).collect(),
    })
}
