//! The list of runners.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::RunnerStatus;
use uuid::Uuid;

use crate::{
    app::AppState,
    body::Params,
    caller::Authorised,
    lists::ListSource,
    routes::runners::{list, view::RunnerView},
    ui::{
        Frame, Section, UiResult, Visitor, page,
        pages::{
            input::{PageId, PageParams},
            list_filters::{Filters, PAGE_ROWS, counted},
            newer,
        },
    },
};

/// Labels of a runner that the list shows.
const SHOWN_LABELS: usize = 3;

/// Runners, newest first.
#[derive(Template)]
#[template(path = "runners.html")]
struct RunnersPage {
    frame: Frame,
    filters: Filters,
    statuses: &'static [RunnerStatus],
    rows: Vec<RunnerRow>,
    total: String,
    is_first: bool,
    /// Address that says how many newer rows there are, for the newest page.
    newer: Option<String>,
    older: Option<String>,
    may_ask: bool,
}

/// A runner in a list.
pub(super) struct RunnerRow {
    pub(super) runner: RunnerView,
    pub(super) labels: String,
    /// Labels that are not shown.
    pub(super) more_labels: usize,
}

impl From<RunnerView> for RunnerRow {
    fn from(runner: RunnerView) -> Self {
        let shown: Vec<&str> = runner.labels.iter().take(SHOWN_LABELS).map(String::as_str).collect();
        let labels = shown.join(", ");
        Self { labels, more_labels: runner.labels.len().saturating_sub(SHOWN_LABELS), runner }
    }
}

impl RunnerRow {
    /// Returns the version of the runner software, as GitHub reported it, else as the caller stated it.
    pub(super) fn version(&self) -> &str {
        let RunnerView { version, stated_version, .. } = &self.runner;
        version.as_deref().or(stated_version.as_deref()).unwrap_or("–")
    }

    /// Returns the requester.
    pub(super) fn asked_by(&self) -> &str {
        self.runner.provisioned_by.as_deref().unwrap_or("–")
    }
}

/// Shows the runners that the visitor may see.
pub(super) async fn show_list(
    State(app): State<AppState>,
    visitor: Visitor,
    PageParams(mut params): PageParams<list::RunnerParams>,
) -> UiResult<Response> {
    let filters = filters_of(&params);
    let is_first = params.cursor.is_none();
    params.limit = params.limit.or(Some(PAGE_ROWS));
    let caller = Authorised(visitor.caller.clone());
    let listed =
        list::list(State(app.clone()), ListSource::Primary, caller, Params(params)).await?.into_body();
    let newest = newer::newest(listed.runners.first().map(|runner| runner.runner_id));
    let title = if filters.is_empty() { "Runners".to_owned() } else { "Runners, filtered".to_owned() };
    page(&RunnersPage {
        frame: Frame::new(&app, &visitor, Section::Runners, title).await,
        newer: is_first.then(|| filters.newer(newest)),
        older: filters.older(listed.next_cursor),
        filters,
        statuses: RunnerStatus::ALL,
        rows: listed.runners.into_iter().map(RunnerRow::from).collect(),
        total: counted(listed.total, listed.total_is_lower_bound, "runner", "runners"),
        is_first,
        may_ask: !visitor.caller.only_reads(),
    })
}

/// Says how many runners are newer than those of a list.
pub(super) async fn count_newer(
    State(app): State<AppState>,
    visitor: Visitor,
    PageId(after): PageId<Uuid>,
    PageParams(mut params): PageParams<list::RunnerParams>,
) -> UiResult<Response> {
    let filters = filters_of(&params);
    params.since = newer::since(after, params.since);
    params.limit = Some(newer::READ_ROWS);
    let caller = Authorised(visitor.caller);
    let listed = list::list(State(app), ListSource::Primary, caller, Params(params)).await?.into_body();
    Ok(newer::fragment(after, listed.runners.iter().map(|runner| runner.runner_id), &filters.newest()))
}

fn filters_of(params: &list::RunnerParams) -> Filters {
    Filters::of("/runners")
        .with("q", params.q.clone())
        .with("status", params.status)
        .with("team", params.team.clone())
        .with("user", params.user.clone())
        .with("ephemeral", params.ephemeral)
        .with("since", params.since.map(|at| at.to_rfc3339()))
        .with("until", params.until.map(|at| at.to_rfc3339()))
}
