//! List and details of runners.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use domain::{RunnerId, RunnerStatus};
use store::{AuditFilter, Page, RunnerFilter, Visible};

use super::view::{RunnerView, RunnerWithEvents, TransitionView};
use crate::{
    app::AppState,
    body::{Id, Params, filtered_team},
    caller::Authorised,
    error::ApiResult,
    filters::{list_period, named_requesters, runner_search},
    lists::{ListSource, Listing},
    openapi::problems,
    page::{list_body, list_params},
    routes::audit::AuditView,
};

list_params! {
    /// Filters of the list of runners.
    RunnerParams {
        /// Only in this state (`requested`, `pending`, `active`, `offline`, `deleted`); by default all but deleted.
        status: RunnerStatus = String,
        /// Only ephemeral runners, or only others.
        ephemeral: bool = bool,
        /// Only of this team, by id or name; also as `team_id`.
        #[serde(alias = "team_id")]
        team: String = String,
        /// Only requested by this identity (e-mail address, `issuer#subject`, client id or our id); also as
        /// `user_identity`.
        #[serde(alias = "user_identity")]
        user: String = String,
        /// Only runners whose name begins with this text, that have it as a label, or whose requester's name begins
        /// with it; 1 to 100 characters, in any case.
        q: String = String,
        /// Only requested since this time (RFC 3339).
        since: DateTime<Utc> = String,
        /// Only requested until this time (RFC 3339).
        until: DateTime<Utc> = String,
    }
}

list_body! {
    /// A page of runners.
    RunnerList { runners: RunnerView }
}

problems! {
    ListProblems: ValidationFailed;
    ShowProblems: NotFound;
}

/// List runners: your own and your teams'; all for admins and viewers.
///
/// Newest first. Without `status`, deleted runners are left out.
#[utoipa::path(
    get, path = "/runners", tag = "runners", params(RunnerParams),
    responses((status = 200, description = "Newest first", body = RunnerList,
        headers(("X-Data-Age" = u64, description = "Age of the data in seconds, if a replica answered"))), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    source: ListSource,
    Authorised(caller): Authorised,
    Params(params): Params<RunnerParams>,
) -> ApiResult<Listing<RunnerList>> {
    let page = params.page()?;
    let period = list_period(params.since, params.until)?;
    let team = filtered_team(&app, params.team.as_deref()).await?;
    let mut lists = app.lists_from(source, &caller).await?;
    let filter = RunnerFilter {
        user: None,
        status: params.status,
        ephemeral: params.ephemeral,
        team,
        requesters: named_requesters(&mut lists, params.user.as_deref()).await?,
        search: runner_search(&mut lists, params.q.as_deref()).await?,
        period,
    };
    let listed = lists.runners().list(&Visible::to(&caller), &filter, page).await;
    lists.respond(listed, RunnerList::new)
}

/// Show a runner and its history.
///
/// With its last 100 audit rows and its last 100 status changes. A runner that you may not see is 404.
#[utoipa::path(
    get, path = "/runners/{runner_id}", tag = "runners", params(("runner_id" = Uuid, Path)),
    responses((status = 200, description = "The runner", body = RunnerWithEvents), ShowProblems),
)]
pub(crate) async fn show(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
    Id(id): Id<RunnerId>,
) -> ApiResult<Json<RunnerWithEvents>> {
    let runner = app.operations().visible_runner(&caller, id).await?;
    let mut conn = app.store.conn().await?;
    let filter = AuditFilter { runner: Some(id), ..AuditFilter::default() };
    let page = Page { limit: 100, offset: 0, before: None };
    let events = conn.audit().rows(&Visible::everything(), &filter, page).await?;
    let transitions = conn.runners().transitions(id, page.limit).await?;
    Ok(Json(RunnerWithEvents {
        runner: runner.into(),
        transitions: transitions.into_iter().map(TransitionView::from).collect(),
        events: events.into_iter().map(AuditView::from).collect(),
    }))
}
