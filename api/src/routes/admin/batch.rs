//! Batches: changes of many people, teams, runners or failed jobs.

pub(crate) mod body;
pub(crate) mod view;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{BatchAction, Problem};
use operations::{BATCH_TIME, BatchRequest};
use serde::Deserialize;
use store::BatchRow;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::{
    body::{BatchBody, JobBatch, RunnerBatch, TeamBatch, TeamDeactivation, UserBatch, UserDeactivation},
    view::{BatchList, BatchView},
};
use crate::{
    app::AppState,
    body::{Body, Id, Params},
    caller::{ActingAdmin, Administers, SeesAll},
    error::ApiResult,
    lists::Listing,
    openapi::problems,
};

/// Items up to which a batch is worked on before the answer, for at most ten seconds.
const MAX_INLINE_ITEMS: i64 = 100;
/// Most items in one answer.
const MAX_SHOWN_ITEMS: i64 = 1000;
/// Most batches in a list.
const MAX_LISTED: i64 = 100;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(disable_users))
        .routes(routes!(restore_users))
        .routes(routes!(delete_runners))
        .routes(routes!(deactivate_teams))
        .routes(routes!(reactivate_teams))
        .routes(routes!(retry_jobs))
        .routes(routes!(discard_jobs))
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(stop))
        .routes(routes!(resume))
}

problems! {
    BatchProblems: MalformedBody, AdminRequired, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
    ListProblems: AdminRequired;
    ShowProblems: AdminRequired, NotFound, ValidationFailed;
}

macro_rules! batch_call {
    ($(#[$doc:meta])* $name:ident, $path:literal, $body:ty, $action:ident) => {
        $(#[$doc])*
        #[utoipa::path(
            post, path = $path, tag = "admin", request_body = $body,
            responses(
                (status = 200, description = "Done, or a preview", body = BatchView),
                (status = 202, description = "The scheduler goes on with it", body = BatchView,
                    headers(("Location" = String, description = "The batch"))),
                BatchProblems,
            ),
        )]
        pub(crate) async fn $name(
            State(app): State<AppState>,
            admin: ActingAdmin,
            Body(body): Body<$body>,
        ) -> ApiResult<Response> {
            let (request, dry_run) = BatchBody::from(body).request(&app, BatchAction::$action).await?;
            start(&app, &admin, &request, dry_run).await
        }
    };
}

batch_call! {
    /// Deactivate people.
    ///
    /// Send `user_ids`, a filter, or `"all": true`. You are spared, the last admin too, and with `exclude_admins` (the
    /// default) every admin. More than a fifth of the active people need `expected_count`.
    disable_users, "/admin/batch/disable-users", UserDeactivation, DisableUsers
}
batch_call! {
    /// Activate people again.
    ///
    /// Send `user_ids`, a filter, or `"all": true`.
    restore_users, "/admin/batch/restore-users", UserBatch, RestoreUsers
}
batch_call! {
    /// Remove runners from GitHub.
    ///
    /// Send `runner_ids`, filters, or `"all": true`. Each removal is a job; a busy runner is removed after its workflow job.
    delete_runners, "/admin/batch/delete-runners", RunnerBatch, DeleteRunners
}
batch_call! {
    /// Deactivate teams.
    ///
    /// Send `team_ids`, a filter (`q`, `installation`), or `"all": true`. The teams' runners stay.
    deactivate_teams, "/admin/batch/deactivate-teams", TeamDeactivation, DeactivateTeams
}
batch_call! {
    /// Activate teams again.
    ///
    /// Send `team_ids`, a filter (`q`, `installation`), or `"all": true`.
    reactivate_teams, "/admin/batch/reactivate-teams", TeamBatch, ReactivateTeams
}
batch_call! {
    /// Ask again for the runners of failed jobs, each for its requester.
    ///
    /// Send `job_ids`, or the `code` of a cause. Each job is retried as by its own call: access, policy and quota are
    /// checked anew, and a refusal is the outcome of its item.
    retry_jobs, "/admin/batch/retry-jobs", JobBatch, RetryJobs
}
batch_call! {
    /// Discard failed jobs.
    ///
    /// Send `job_ids`, or the `code` of a cause. The jobs leave the list of failures and stay in the history.
    discard_jobs, "/admin/batch/discard-jobs", JobBatch, DiscardJobs
}

async fn start(
    app: &AppState,
    admin: &ActingAdmin,
    request: &BatchRequest,
    dry_run: bool,
) -> ApiResult<Response> {
    if dry_run {
        let subjects = app.operations().preview_batch(&admin.permission, request).await?;
        return Ok(Json(BatchView::preview(request, &subjects)).into_response());
    }
    answer(app, run_now(app, admin, request).await?).await
}

/// Starts a batch, and works on a short one for a while.
pub(crate) async fn run_now(
    app: &AppState,
    admin: &ActingAdmin,
    request: &BatchRequest,
) -> ApiResult<BatchRow> {
    let batch = app.operations().start_batch(admin.actor(), &admin.permission, request).await?;
    if batch.total > MAX_INLINE_ITEMS {
        return Ok(batch);
    }
    let rules = app.provision_rules();
    Ok(app.operations().run_batch(&rules, batch.id, &worker_name(), BATCH_TIME).await?)
}

/// Returns the name under which one request works on a batch.
fn worker_name() -> String {
    format!("api {}", Uuid::new_v4())
}

/// Returns 200 for a batch that has ended, and 202 for one that goes on.
async fn answer(app: &AppState, batch: BatchRow) -> ApiResult<Response> {
    let location = format!("/api/v1/admin/batch/{}", batch.id);
    let view = view_of(app, batch, 0).await?;
    if view.is_running() {
        return Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(view)).into_response());
    }
    Ok(Json(view).into_response())
}

async fn view_of(app: &AppState, batch: BatchRow, after: i32) -> ApiResult<BatchView> {
    let items = app.store.conn().await?.batch_runs().items(batch.id, after, MAX_SHOWN_ITEMS).await?;
    Ok(BatchView::new(batch, items))
}

/// List the newest batches, without their items.
///
/// For admins and viewers, newest first, at most 100.
#[utoipa::path(
    get, path = "/admin/batch", tag = "admin",
    responses((status = 200, description = "Newest first", body = BatchList), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
) -> ApiResult<Listing<BatchList>> {
    let mut lists = app.lists(&caller).await?;
    let rows = lists.batch_runs().newest(MAX_LISTED).await;
    lists.respond(rows, |rows| BatchList {
        batches: rows.into_iter().map(|row| BatchView::new(row, Vec::new())).collect(),
    })
}

/// Part of the items of a batch.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ItemParams {
    /// Only items after this number; an answer has at most 1,000.
    #[param(minimum = 0)]
    pub(crate) after: Option<i32>,
}

/// Show the progress of a batch and the outcome of its items.
///
/// For admins and viewers. An answer has at most 1,000 items.
#[utoipa::path(
    get, path = "/admin/batch/{batch_id}", tag = "admin", params(("batch_id" = Uuid, Path), ItemParams),
    responses((status = 200, description = "The batch", body = BatchView), ShowProblems),
)]
pub(crate) async fn show(
    State(app): State<AppState>,
    SeesAll(_): SeesAll,
    Id(id): Id<Uuid>,
    Params(params): Params<ItemParams>,
) -> ApiResult<Json<BatchView>> {
    let after = params.after.unwrap_or(0);
    if after < 0 {
        return Err(Problem::field("query:after", "0 or more").into());
    }
    let batch =
        app.store.conn().await?.batch_runs().get(id).await?.ok_or_else(|| Problem::not_found("batch"))?;
    Ok(Json(view_of(&app, batch, after).await?))
}

/// Stop a batch after the item that is being worked on.
///
/// It can be resumed. Items that were changed stay changed.
#[utoipa::path(
    post, path = "/admin/batch/{batch_id}/stop", tag = "admin", params(("batch_id" = Uuid, Path)),
    responses((status = 200, description = "The batch", body = BatchView), ShowProblems),
)]
pub(crate) async fn stop(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(id): Id<Uuid>,
) -> ApiResult<Json<BatchView>> {
    let batch = app.operations().stop_batch(&admin, id).await?;
    Ok(Json(view_of(&app, batch, 0).await?))
}

/// Let a stopped batch go on, from now on in your name.
///
/// The scheduler goes on with it within seconds.
#[utoipa::path(
    post, path = "/admin/batch/{batch_id}/resume", tag = "admin", params(("batch_id" = Uuid, Path)),
    responses(
        (status = 200, description = "Done", body = BatchView),
        (status = 202, description = "The scheduler goes on with it", body = BatchView,
            headers(("Location" = String, description = "The batch"))),
        ShowProblems,
    ),
)]
pub(crate) async fn resume(
    State(app): State<AppState>,
    admin: ActingAdmin,
    Id(id): Id<Uuid>,
) -> ApiResult<Response> {
    let batch = app.operations().resume_batch(admin.actor(), &admin.permission, id).await?;
    answer(&app, batch).await
}
