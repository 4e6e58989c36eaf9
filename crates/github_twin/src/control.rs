//! Control port: the operations of [`Commands`], over HTTP and JSON.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, patch, post, put},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    commands::{Commands, RunnerChange, RunnerSpec},
    faults::Fault,
    jobs::{Conclusion, ControlError},
    limits::Limits,
    state::Deprecation,
};

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Refused(_) => StatusCode::CONFLICT,
        };
        (status, Json(json!({"error": self.to_string()}))).into_response()
    }
}

type Done<T> = Result<Json<T>, ControlError>;

fn done<T: Serialize>(result: Result<T, ControlError>) -> Done<T> {
    result.map(Json)
}

pub(crate) fn router(commands: Commands) -> Router {
    Router::new()
        .route("/runners", get(async |State(c): Words| Json(c.runners())).post(create_runner))
        .route("/runners/{id}", patch(set_runner).delete(remove_runner))
        .route("/faults", get(async |State(c): Words| Json(c.faults())).post(add_fault).delete(clear_faults))
        .route("/faults/{id}", delete(clear_fault))
        .route("/jobs", get(async |State(c): Words| Json(c.jobs())).post(queue_job))
        .route("/jobs/{id}/start", post(start_job))
        .route("/jobs/{id}/complete", post(complete_job))
        .route("/deliveries", get(async |State(c): Words| Json(c.deliveries())))
        .route("/deliveries/{id}/redeliver", post(redeliver))
        .route("/ledger", get(ledger).delete(clear_ledger))
        .route("/ledger/summary", get(async |State(c): Words| Json(c.summary())))
        .route("/clock", get(async |State(c): Words| Json(json!({"now": c.now()}))))
        .route("/clock/advance", post(advance))
        .route("/limits", put(set_limits))
        .route("/installations/{id}/suspended", put(suspend).delete(unsuspend))
        .route("/installations/{id}/permissions/{name}", put(permit))
        .route("/tokens/expire", post(expire_tokens))
        .route("/deprecations/{version}", put(deprecate))
        .route("/reset", post(reset))
        .with_state(commands)
}

type Words = State<Commands>;

async fn create_runner(State(c): Words, Json(spec): Json<RunnerSpec>) -> Result<Response, ControlError> {
    c.create_runner(spec).map(|r| (StatusCode::CREATED, Json(r)).into_response())
}

async fn set_runner(State(c): Words, Path(id): Path<u64>, Json(to): Json<RunnerChange>) -> impl IntoResponse {
    done(c.set_runner(id, to))
}

async fn remove_runner(State(c): Words, Path(id): Path<u64>) -> impl IntoResponse {
    done(c.remove_runner(id))
}

async fn add_fault(State(c): Words, Json(fault): Json<Fault>) -> Result<Response, ControlError> {
    let id = c.fault(fault).ok_or_else(|| ControlError::Refused("1000 faults are in force".into()))?;
    Ok((StatusCode::CREATED, Json(json!({"id": id}))).into_response())
}

async fn clear_faults(State(c): Words) -> StatusCode {
    c.clear_faults(None);
    StatusCode::NO_CONTENT
}

async fn clear_fault(State(c): Words, Path(id): Path<u64>) -> StatusCode {
    c.clear_faults(Some(id));
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueJob {
    repository: String,
    #[serde(default)]
    labels: Vec<String>,
}

async fn queue_job(State(c): Words, Json(job): Json<QueueJob>) -> Result<Response, ControlError> {
    let labels: Vec<&str> = job.labels.iter().map(String::as_str).collect();
    let made = c.queue_job(&job.repository, &labels)?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StartJob {
    runner: u64,
}

async fn start_job(State(c): Words, Path(id): Path<u64>, Json(on): Json<StartJob>) -> impl IntoResponse {
    done(c.start_job(id, on.runner))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CompleteJob {
    conclusion: Conclusion,
}

async fn complete_job(
    State(c): Words,
    Path(id): Path<u64>,
    Json(end): Json<CompleteJob>,
) -> impl IntoResponse {
    done(c.complete_job(id, end.conclusion))
}

async fn redeliver(State(c): Words, Path(id): Path<u64>) -> Result<StatusCode, ControlError> {
    c.redeliver(id).map(|()| StatusCode::ACCEPTED)
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
    #[serde(default = "thousand")]
    limit: usize,
}

fn thousand() -> usize {
    1000
}

/// Returns entries with a `seq` above `since`, at most `limit`; the newest `limit` violations; all counters.
async fn ledger(State(c): Words, Query(q): Query<Since>) -> Json<Value> {
    let ledger = c.ledger();
    let entries: Vec<_> = ledger.entries.iter().filter(|e| e.seq > q.since).take(q.limit).collect();
    let skip = ledger.violations.len().saturating_sub(q.limit);
    let violations: Vec<_> = ledger.violations.iter().skip(skip).collect();
    Json(json!({"entries": entries, "violations": violations, "summary": ledger.summary}))
}

async fn clear_ledger(State(c): Words) -> StatusCode {
    c.clear_ledger();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: u64,
}

async fn advance(State(c): Words, Json(by): Json<Advance>) -> Json<Value> {
    Json(json!({"now": c.advance(Duration::from_secs(by.seconds))}))
}

async fn set_limits(State(c): Words, Json(limits): Json<Limits>) -> StatusCode {
    c.set_limits(limits);
    StatusCode::NO_CONTENT
}

async fn suspend(State(c): Words, Path(id): Path<u64>) -> Result<StatusCode, ControlError> {
    c.suspend(id, true).map(|()| StatusCode::NO_CONTENT)
}

async fn unsuspend(State(c): Words, Path(id): Path<u64>) -> Result<StatusCode, ControlError> {
    c.suspend(id, false).map(|()| StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Permit {
    level: Option<String>,
}

async fn permit(
    State(c): Words,
    Path((id, name)): Path<(u64, String)>,
    Json(to): Json<Permit>,
) -> Result<StatusCode, ControlError> {
    c.permit(id, &name, to.level.as_deref()).map(|()| StatusCode::NO_CONTENT)
}

async fn expire_tokens(State(c): Words) -> StatusCode {
    c.expire_tokens();
    StatusCode::NO_CONTENT
}

async fn deprecate(
    State(c): Words,
    Path(version): Path<String>,
    Json(told): Json<Option<Deprecation>>,
) -> StatusCode {
    c.deprecate(&version, told);
    StatusCode::NO_CONTENT
}

async fn reset(State(c): Words) -> StatusCode {
    c.reset();
    StatusCode::NO_CONTENT
}
