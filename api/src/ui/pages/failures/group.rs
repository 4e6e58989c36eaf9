//! Jobs of one cause, to decide about some of them.

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use domain::ProblemCode;
use store::BatchSubject;

use super::choice::Choice;
use crate::{
    app::AppState,
    body::filtered_team,
    ui::{Frame, OverseeingVisitor, Section, UiResult, page},
};

/// Jobs on the page.
const SHOWN: usize = 100;

/// Jobs of one cause.
#[derive(Template)]
#[template(path = "failures_jobs.html")]
struct GroupPage {
    frame: Frame,
    code: String,
    detail: Option<String>,
    advice: String,
    /// Query string that selects all of them.
    query: String,
    fields: Vec<(&'static str, String)>,
    jobs: Vec<BatchSubject>,
    /// Whether there are more jobs than the page shows.
    more: bool,
}

/// Shows the jobs of a cause.
pub(super) async fn show(
    State(app): State<AppState>,
    OverseeingVisitor(visitor): OverseeingVisitor,
    RawQuery(query): RawQuery,
) -> UiResult<Response> {
    let choice = Choice { jobs: Vec::new(), ..Choice::read(&query.unwrap_or_default())? };
    let cause = choice.cause()?;
    let team = filtered_team(&app, choice.team.as_deref()).await?;
    let mut lists = app.lists(&visitor.caller).await?;
    let limit = i64::try_from(SHOWN + 1).unwrap_or(i64::MAX);
    let jobs = lists.batch_runs().select_failures(&cause, team, limit).await;
    let mut jobs = lists.respond(jobs, |jobs| jobs)?.into_body();
    // The newest ones were selected, and are ordered by id.
    jobs.reverse();
    let more = jobs.len() > SHOWN;
    jobs.truncate(SHOWN);
    let known = ProblemCode::ALL.iter().find(|code| code.as_str() == cause.code);
    page(&GroupPage {
        frame: Frame::new(&app, &visitor, Section::Failures, format!("Failures: {}", cause.code)).await,
        query: choice.query(),
        fields: choice.fields(),
        code: cause.code,
        detail: cause.detail,
        advice: super::advice(known.map_or("", |code| code.remedy())),
        jobs,
        more,
    })
}
