//! Check and removal of runners, with a preview of what a removal does.

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use domain::{BatchAction, Problem, Runner, RunnerId, RunnerStatus};
use operations::{Actor, BatchRequest, BatchSelector, RunnerJobRequest};
use serde::Deserialize;
use url::form_urlencoded;
use uuid::Uuid;

use crate::{
    app::AppState,
    body::Id,
    caller::Authorised,
    origin::RequestOrigin,
    prefer::Prefer,
    routes::{admin::batch, runners::refresh},
    ui::{
        AdminVisitor, Frame, Section, UiForm, UiResult, Visitor, done,
        format::count,
        page,
        pages::{input::PageId, list_filters::PAGE_ROWS},
    },
};

/// What a removal does to whom.
#[derive(Template)]
#[template(path = "runners_remove.html")]
struct RemovalPage {
    frame: Frame,
    /// Path that the form is sent to.
    action: String,
    /// Path of the page to go back to.
    back: String,
    runners: Vec<Runner>,
    idle: usize,
    busy: usize,
    /// Runners that no removal concerns: they are requested or deleted.
    other: usize,
    needs_reason: bool,
}

/// Returns whether a removal concerns a runner.
fn goes(runner: &Runner) -> bool {
    !matches!(runner.status, RunnerStatus::Deleted | RunnerStatus::Requested)
}

impl RemovalPage {
    fn of(frame: Frame, action: String, back: String, runners: Vec<Runner>) -> Self {
        let removable = || runners.iter().filter(|runner| goes(runner));
        let busy = removable().filter(|runner| runner.busy).count();
        let idle = removable().count() - busy;
        let other = runners.len() - busy - idle;
        Self { frame, action, back, idle, busy, other, needs_reason: false, runners }
    }

    /// Returns the number of runners that go.
    fn removable(&self) -> usize {
        self.idle + self.busy
    }

    /// Returns the runners that go as people count them.
    fn counted(&self) -> String {
        count(u64::try_from(self.removable()).unwrap_or_default(), "runner", "runners")
    }
}

/// Checks a runner on GitHub now.
pub(super) async fn check(
    State(app): State<AppState>,
    visitor: Visitor,
    PageId(id): PageId<RunnerId>,
) -> UiResult<Response> {
    let caller = Authorised(visitor.caller.clone());
    let origin = RequestOrigin(visitor.origin.clone());
    refresh::refresh(State(app), caller, origin, Prefer::NO_WAIT, Id(id)).await?;
    Ok(done(
        &format!("/runners/{id}"),
        "The runner is being checked on GitHub; load this page again in a moment.",
    ))
}

/// Shows what the removal of one runner does.
pub(super) async fn preview(
    State(app): State<AppState>,
    visitor: Visitor,
    PageId(id): PageId<RunnerId>,
) -> UiResult<Response> {
    let runner = app.operations().visible_runner(&visitor.caller, id).await?;
    let frame = Frame::new(&app, &visitor, Section::Runners, format!("Remove {}", runner.name)).await;
    let (action, back) = (format!("/runners/{id}/remove"), format!("/runners/{id}"));
    page(&RemovalPage::of(frame, action, back, vec![runner]))
}

/// Requests the removal of one runner.
pub(super) async fn remove(
    State(app): State<AppState>,
    visitor: Visitor,
    PageId(id): PageId<RunnerId>,
) -> UiResult<Response> {
    let request = RunnerJobRequest::removal(Actor { caller: &visitor.caller, origin: &visitor.origin });
    let runner = request.authorize(&app.operations(), id).await?;
    request.submit_or_join(&app.operations(), &runner).await?;
    let when = if runner.busy { "it goes when its workflow job has ended" } else { "it goes within seconds" };
    Ok(done(&format!("/runners/{id}"), format!("The removal of {} was requested; {when}.", runner.name)))
}

/// Runners to remove, as the preview's form names them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RemovalForm {
    #[serde(default)]
    id: Vec<Uuid>,
    /// Number of runners in the preview.
    count: i64,
    #[serde(default)]
    reason: String,
}

/// Returns the ids that a query names, without duplicates.
fn chosen(query: &str) -> Result<Vec<Uuid>, Problem> {
    let wrong = || Problem::field("query:id", "choose 1 to 50 runners of the list");
    let ids = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "id");
    let ids: Result<Vec<Uuid>, _> = ids.map(|(_, id)| id.parse()).collect();
    let mut ids = ids.map_err(|_| wrong())?;
    ids.sort_unstable();
    ids.dedup();
    let most = usize::try_from(PAGE_ROWS).unwrap_or_default();
    if ids.is_empty() || ids.len() > most { Err(wrong()) } else { Ok(ids) }
}

/// Shows what the removal of several runners does.
pub(super) async fn preview_many(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    RawQuery(query): RawQuery,
) -> UiResult<Response> {
    let ids = chosen(&query.unwrap_or_default())?;
    let mut runners = Vec::with_capacity(ids.len());
    for id in ids {
        runners.push(app.operations().visible_runner(&visitor.caller, id.into()).await?);
    }
    let frame = Frame::new(&app, &visitor, Section::Runners, "Remove runners").await;
    let shown = RemovalPage::of(frame, "/runners/remove".to_owned(), "/runners".to_owned(), runners);
    page(&RemovalPage { needs_reason: true, ..shown })
}

/// Requests the removal of several runners, as the API's batch does.
pub(super) async fn remove_many(
    State(app): State<AppState>,
    by: AdminVisitor,
    UiForm(form): UiForm<RemovalForm>,
) -> UiResult<Response> {
    let request = BatchRequest {
        action: BatchAction::DeleteRunners,
        selector: BatchSelector { ids: Some(form.id), ..BatchSelector::default() },
        comment: form.reason.trim().to_owned(),
        expected_count: Some(form.count),
    };
    let batch = batch::run_now(&app, &by.acting(), &request).await?;
    let requested = format!("The removal of {} was requested.", count_of(batch.done));
    let sentence = match batch.failed {
        0 => requested,
        failed => format!("{requested} {failed} of the others could not be removed; the audit log says why."),
    };
    Ok(done("/runners", sentence))
}

fn count_of(number: i64) -> String {
    count(u64::try_from(number).unwrap_or_default(), "runner", "runners")
}
