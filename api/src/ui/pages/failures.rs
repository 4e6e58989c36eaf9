//! Failures: failed and expired jobs by their cause, and decisions about many of them.

mod choice;
mod decide;
mod group;

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;

use self::choice::Choice;
use super::{input::PageParams, times, words};
use crate::{
    app::AppState,
    body::Params,
    caller::SeesAll,
    routes::admin::failures::{self, Failure, FailureParams},
    ui::{Frame, OverseeingVisitor, Section, UiResult, UiRoutes, format::count, page},
};

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new()
        .get("/failures", show)
        .get("/failures/jobs", group::show)
        .get("/failures/retry", decide::preview_retry)
        .post("/failures/retry", decide::retry)
        .get("/failures/discard", decide::preview_discard)
        .post("/failures/discard", decide::discard)
}

/// Spans to choose from.
const SPANS: [&str; 4] = ["1h", "24h", "7d", "30d"];
/// Span by default.
const DEFAULT_SPAN: &str = "24h";

/// Filters of the page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PageFilters {
    /// A span (`1h`) or a time.
    since: Option<String>,
    team: Option<String>,
}

/// Failures by their cause.
#[derive(Template)]
#[template(path = "failures.html")]
struct FailuresPage {
    frame: Frame,
    /// The chosen span, as it was written.
    span: String,
    spans: &'static [&'static str],
    since: DateTime<Utc>,
    team: Option<String>,
    /// Query string of the team, to continue with.
    team_query: String,
    total: String,
    causes: Vec<Cause>,
}

/// Failures with one cause.
struct Cause {
    failure: Failure,
    /// Query string that selects its jobs.
    query: String,
}

impl Cause {
    fn new(failure: Failure, since: DateTime<Utc>, team: Option<&str>) -> Self {
        let query = Choice::of_cause(&failure, since, team).query();
        Self { failure, query }
    }

    /// Returns the number of its jobs.
    fn jobs(&self) -> String {
        let jobs = count(self.failure.jobs.unsigned_abs(), "job", "jobs");
        if self.failure.jobs_is_lower_bound { format!("at least {jobs}") } else { jobs }
    }

    /// Returns the advice, with pages in place of calls.
    fn advice(&self) -> String {
        advice(self.failure.what_to_do)
    }
}

/// Returns what to do, with pages in place of calls.
pub(super) fn advice(text: &str) -> String {
    text.replace("/api/v1/admin/budget", "the page Budget")
        .replace("/api/v1/admin/verdict", "the verdict above")
}

/// Shows the causes.
async fn show(
    State(app): State<AppState>,
    OverseeingVisitor(visitor): OverseeingVisitor,
    PageParams(filters): PageParams<PageFilters>,
) -> UiResult<Response> {
    let span = filters.since.unwrap_or_else(|| DEFAULT_SPAN.to_owned());
    let params = FailureParams {
        since: Some(times::since("query:since", &span, Utc::now())?),
        team: filters.team.clone(),
    };
    let seen = SeesAll(visitor.caller.clone());
    let listed = failures::list(State(app.clone()), seen, Params(params)).await?.into_body();
    let jobs = listed.failures.iter().map(|one| one.jobs.unsigned_abs()).sum();
    let (jobs, causes) =
        (count(jobs, "job", "jobs"), count(words::natural(listed.failures.len()), "cause", "causes"));
    let team = filters.team.as_deref();
    page(&FailuresPage {
        frame: Frame::new(&app, &visitor, Section::Failures, "Failures").await,
        span,
        spans: &SPANS,
        since: listed.since,
        team_query: team.map(|team| format!("&{}", choice::pair("team", team))).unwrap_or_default(),
        total: format!("{jobs}, {causes}"),
        causes: listed.failures.into_iter().map(|one| Cause::new(one, listed.since, team)).collect(),
        team: filters.team,
    })
}
