//! Cancellation, retry and discard of one job, each with a preview.

use axum::{Json, extract::State, response::Response};
use domain::{Job, JobId, JobState, Problem, ProblemCode};
use operations::Actor;
use serde::Deserialize;

use crate::{
    app::AppState,
    body::{Body, Id},
    caller::Administers,
    routes::admin::failures::{self, ReasonBody},
    ui::{
        AdminVisitor, Frame, Section, UiForm, UiResult, Visitor, done,
        pages::{input::PageId, preview::Preview},
    },
};

/// Form of a decision about a failed job.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReasonForm {
    #[serde(default)]
    reason: String,
}

/// Form without fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoFields {}

/// Returns what people call the runner of a job.
fn runner_of(job: &Job) -> &str {
    job.runner_name.as_deref().unwrap_or("no runner")
}

async fn cancel_page(app: &AppState, visitor: &Visitor, job: &Job) -> Preview {
    let frame = Frame::new(app, visitor, Section::Jobs, "Cancel a job").await;
    let (action, back) = (format!("/jobs/{}/cancel", job.id), format!("/jobs/{}", job.id));
    let name = runner_of(job);
    let effect = if job.kind.makes_runner() {
        format!("Nobody gets the runner {name}. Its name and its place in the quota are free again at once.")
    } else {
        format!("The runner {name} stays as it is. The same can be asked for again.")
    };
    Preview::new(frame, "Cancel this request?", action, back)
        .says(effect)
        .says("A cancelled job cannot be taken up again; ask anew.")
        .button("Cancel the request", "Let it wait")
        .dangerous()
}

/// Shows what a cancellation does.
pub(super) async fn preview_cancel(
    State(app): State<AppState>,
    visitor: Visitor,
    PageId(id): PageId<JobId>,
) -> UiResult<Response> {
    let job = app.operations().visible_job(&visitor.caller, id).await?;
    if job.state != JobState::Queued {
        let detail = format!("The job is {}; only a queued job can be cancelled.", job.state);
        return Err(Problem::new(ProblemCode::JobNotCancellable, detail).into());
    }
    cancel_page(&app, &visitor, &job).await.show()
}

/// Cancels a queued job.
pub(super) async fn cancel(
    State(app): State<AppState>,
    visitor: Visitor,
    PageId(id): PageId<JobId>,
    UiForm(NoFields {}): UiForm<NoFields>,
) -> UiResult<Response> {
    let actor = Actor { caller: &visitor.caller, origin: &visitor.origin };
    let job = app.operations().cancel_job(actor, id).await?;
    Ok(done(&format!("/jobs/{id}"), format!("The request for {} was cancelled.", runner_of(&job))))
}

/// Returns the preview of a retry or a discard.
async fn decision_page(app: &AppState, admin: &AdminVisitor, id: JobId, retries: bool) -> UiResult<Preview> {
    let job = app.operations().visible_job(&admin.visitor.caller, id).await?;
    let title = if retries { "Retry a job" } else { "Discard a job" };
    let frame = Frame::new(app, &admin.visitor, Section::Jobs, title).await;
    let (action, back) =
        (format!("/jobs/{id}/{}", if retries { "retry" } else { "discard" }), format!("/jobs/{id}"));
    let preview = if retries {
        Preview::new(frame, "Ask for this runner again?", action, back)
            .says(format!(
                "A new job with a new name takes the place of the failed one of {}, for its requester. Access, policy and \
                 quota are checked anew, and only the requester gets the config.",
                runner_of(&job)
            ))
            .button("Ask for this runner again", "Do not ask again")
    } else {
        Preview::new(frame, "Discard this failed job?", action, back)
            .says("It leaves the list of failures and stays in the history. Nobody gets a runner for it.")
            .button("Discard this failed job", "Keep it in the list")
            .dangerous()
    };
    Ok(preview.reason("reason", "Reason, for the audit log", 1))
}

/// Shows what a retry does.
pub(super) async fn preview_retry(
    State(app): State<AppState>,
    admin: AdminVisitor,
    PageId(id): PageId<JobId>,
) -> UiResult<Response> {
    decision_page(&app, &admin, id, true).await?.show()
}

/// Shows what a discard does.
pub(super) async fn preview_discard(
    State(app): State<AppState>,
    admin: AdminVisitor,
    PageId(id): PageId<JobId>,
) -> UiResult<Response> {
    decision_page(&app, &admin, id, false).await?.show()
}

fn body(reason: &str) -> Body<ReasonBody> {
    Body(ReasonBody { reason: Some(reason.trim().to_owned()) })
}

/// Asks for the runner of a failed job again.
pub(super) async fn retry(
    State(app): State<AppState>,
    admin: AdminVisitor,
    PageId(id): PageId<JobId>,
    UiForm(form): UiForm<ReasonForm>,
) -> UiResult<Response> {
    let by = Administers(admin.admin.clone());
    match failures::retry(State(app.clone()), by, Id(id), Some(body(&form.reason))).await {
        Ok((_, Json(made))) => {
            let sentence =
                "The runner was asked for again, as this job; the failed one counts as dealt with.";
            Ok(done(&format!("/jobs/{}", made.job_id), sentence))
        }
        Err(error) => decision_page(&app, &admin, id, true).await?.refuse(error, &form.reason),
    }
}

/// Discards a failed job.
pub(super) async fn discard(
    State(app): State<AppState>,
    admin: AdminVisitor,
    PageId(id): PageId<JobId>,
    UiForm(form): UiForm<ReasonForm>,
) -> UiResult<Response> {
    let by = Administers(admin.admin.clone());
    match failures::discard(State(app.clone()), by, Id(id), Some(body(&form.reason))).await {
        Ok(_) => Ok(done(&format!("/jobs/{id}"), "The failed job was discarded. It stays in the history.")),
        Err(error) => decision_page(&app, &admin, id, false).await?.refuse(error, &form.reason),
    }
}
