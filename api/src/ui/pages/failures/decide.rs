//! Retry and discard of many failed jobs, with a preview that counts them.

use std::time::Duration;

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use domain::BatchAction;
use operations::BatchRequest;
use serde::Deserialize;
use store::BatchSubject;
use uuid::Uuid;

use super::choice::Choice;
use crate::{
    app::AppState,
    routes::admin::batch,
    ui::{
        AdminVisitor, Frame, Section, UiForm, UiResult, done,
        format::{count, span},
        pages::{
            input::{Refusal, form_page},
            words,
        },
    },
};

/// Jobs that the preview names.
const SAMPLE: usize = 20;
/// Points of GitHub's secondary limit that one request for a JIT config costs, and points of a minute.
const POINTS: (u64, u64) = (5, 900);

/// What a decision does to which jobs.
#[derive(Template)]
#[template(path = "failures_decide.html")]
struct DecisionPage {
    frame: Frame,
    retries: bool,
    /// Path that the form is sent to.
    action: &'static str,
    /// Page to go back to.
    back: String,
    fields: Vec<(&'static str, String)>,
    total: u64,
    sample: Vec<BatchSubject>,
    reason: String,
    refusal: Option<Refusal>,
}

impl DecisionPage {
    fn jobs(&self) -> String {
        count(self.total, "job", "jobs")
    }

    fn runners(&self) -> String {
        count(self.total, "runner", "runners")
    }

    /// Returns what the requests cost.
    fn cost(&self) -> String {
        let points = self.total.saturating_mul(POINTS.0);
        let time = Duration::from_millis(points.saturating_mul(60_000) / POINTS.1);
        format!("{}, that is {} of GitHub's limit", count(points, "point", "points"), span(time))
    }

    fn more(&self) -> u64 {
        self.total.saturating_sub(words::natural(self.sample.len()))
    }
}

/// Form of a decision.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionForm {
    code: Option<String>,
    detail: Option<String>,
    since: Option<String>,
    team: Option<String>,
    #[serde(default)]
    job: Vec<Uuid>,
    /// Number of jobs that the preview counted.
    count: i64,
    #[serde(default)]
    reason: String,
}

/// Path of a decision.
const fn path_of(action: BatchAction) -> &'static str {
    match action {
        BatchAction::RetryJobs => "/failures/retry",
        _ => "/failures/discard",
    }
}

/// A decision that is not yet made.
struct Draft<'d> {
    app: &'d AppState,
    admin: &'d AdminVisitor,
    action: BatchAction,
    choice: Choice,
}

impl Draft<'_> {
    async fn request(&self, comment: &str, expected_count: Option<i64>) -> UiResult<BatchRequest> {
        let (selector, comment) = (self.choice.selector(self.app).await?, comment.to_owned());
        Ok(BatchRequest { action: self.action, selector, comment, expected_count })
    }

    async fn preview(&self, reason: String, refusal: Option<Refusal>) -> UiResult<Response> {
        let request = self.request("", None).await?;
        let mut sample = self.app.operations().preview_batch(&self.admin.admin, &request).await?;
        let total = words::natural(sample.len());
        sample.truncate(SAMPLE);
        let retries = self.action == BatchAction::RetryJobs;
        let title = if retries { "Retry failed jobs" } else { "Discard failed jobs" };
        let shown = DecisionPage {
            frame: Frame::new(self.app, &self.admin.visitor, Section::Failures, title).await,
            retries,
            action: path_of(self.action),
            back: self.choice.origin(),
            fields: self.choice.fields(),
            total,
            sample,
            reason,
            refusal,
        };
        form_page(&shown, shown.refusal.as_ref())
    }

    async fn start(&self, reason: String, expected: i64) -> UiResult<Response> {
        let request = self.request(reason.trim(), Some(expected)).await?;
        match batch::run_now(self.app, &self.admin.acting(), &request).await {
            Ok(batch) => {
                Ok(done(&format!("/batches/{}", batch.id), "The batch was started; it is listed below."))
            }
            Err(error) => self.preview(reason, Some(Refusal::of(error)?)).await,
        }
    }
}

async fn show(
    app: &AppState,
    admin: &AdminVisitor,
    action: BatchAction,
    query: Option<String>,
) -> UiResult<Response> {
    let choice = Choice::read(&query.unwrap_or_default())?;
    Draft { app, admin, action, choice }.preview(String::new(), None).await
}

async fn start(
    app: &AppState,
    admin: &AdminVisitor,
    action: BatchAction,
    form: DecisionForm,
) -> UiResult<Response> {
    let DecisionForm { code, detail, since, team, job, count, reason } = form;
    let choice = Choice { code, detail, since, team, jobs: job };
    Draft { app, admin, action, choice }.start(reason, count).await
}

/// Shows what a retry does.
pub(super) async fn preview_retry(
    State(app): State<AppState>,
    admin: AdminVisitor,
    RawQuery(query): RawQuery,
) -> UiResult<Response> {
    show(&app, &admin, BatchAction::RetryJobs, query).await
}

/// Shows what a discard does.
pub(super) async fn preview_discard(
    State(app): State<AppState>,
    admin: AdminVisitor,
    RawQuery(query): RawQuery,
) -> UiResult<Response> {
    show(&app, &admin, BatchAction::DiscardJobs, query).await
}

/// Retries the chosen jobs as a batch.
pub(super) async fn retry(
    State(app): State<AppState>,
    admin: AdminVisitor,
    UiForm(form): UiForm<DecisionForm>,
) -> UiResult<Response> {
    start(&app, &admin, BatchAction::RetryJobs, form).await
}

/// Discards the chosen jobs as a batch.
pub(super) async fn discard(
    State(app): State<AppState>,
    admin: AdminVisitor,
    UiForm(form): UiForm<DecisionForm>,
) -> UiResult<Response> {
    start(&app, &admin, BatchAction::DiscardJobs, form).await
}
