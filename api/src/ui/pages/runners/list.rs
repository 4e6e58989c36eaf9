//! The list of runners.

use std::collections::BTreeSet;

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use chrono::Utc;
use domain::RunnerStatus;
use uuid::Uuid;

use super::query::{ListParams, Typed};
use crate::{
    app::AppState,
    body::Params,
    caller::Authorised,
    lists::ListSource,
    routes::runners::{list, view::RunnerView},
    ui::{
        Frame, Section, UiResult, Visitor, page,
        pages::{
            input::{PageId, PageParams, Refusal},
            list_filters::{Filters, counted},
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
    states: &'static [RunnerStatus],
    /// What is wrong with the text.
    fault: Option<String>,
    refusal: Option<Refusal>,
    /// Sentence about a word that does not exist, for a search that found nothing.
    unknown_word: Option<String>,
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
    /// Whole days until GitHub rejects the version; `None` if that is far or unknown.
    pub(super) days_left: Option<i64>,
}

impl From<RunnerView> for RunnerRow {
    fn from(runner: RunnerView) -> Self {
        let shown: Vec<&str> = runner.labels.iter().take(SHOWN_LABELS).map(String::as_str).collect();
        let labels = shown.join(", ");
        let more_labels = runner.labels.len().saturating_sub(SHOWN_LABELS);
        Self { labels, more_labels, days_left: None, runner }
    }
}

impl RunnerRow {
    /// Returns the version of the runner software, as GitHub reported it, else as the caller stated it.
    pub(super) fn version(&self) -> &str {
        let RunnerView { version, stated_version, .. } = &self.runner;
        version.as_deref().or(stated_version.as_deref()).unwrap_or("–")
    }

    /// Returns what remains of the version's support, once its end is near.
    pub(super) fn version_end(&self) -> Option<String> {
        self.days_left.map(|days| match days {
            0 => "GitHub rejects it".to_owned(),
            1 => "1 day left".to_owned(),
            days => format!("{days} days left"),
        })
    }

    /// Returns the requester.
    pub(super) fn asked_by(&self) -> &str {
        self.runner.provisioned_by.as_deref().unwrap_or("–")
    }
}

/// Adds to runners how long GitHub accepts their versions: one statement for all rows.
pub(super) async fn with_days_left(app: &AppState, mut rows: Vec<RunnerRow>) -> UiResult<Vec<RunnerRow>> {
    let used: BTreeSet<(String, String)> = rows
        .iter()
        .filter(|row| row.runner.status != RunnerStatus::Deleted)
        .map(|row| (row.runner.installation.to_string(), row.version().to_owned()))
        .collect();
    if used.is_empty() {
        return Ok(rows);
    }
    let (installations, versions): (Vec<String>, Vec<String>) = used.into_iter().unzip();
    let dated = app.store.conn().await?.versions().cut_offs(&installations, &versions).await?;
    for row in rows.iter_mut().filter(|row| row.runner.status != RunnerStatus::Deleted) {
        let installation = row.runner.installation.as_str();
        let own = dated.iter().find(|one| one.installation == installation && one.version == row.version());
        row.days_left = own.and_then(|one| one.cut_off.days_left(one.now));
    }
    Ok(rows)
}

/// Shows the runners that the visitor may see.
pub(super) async fn show_list(
    State(app): State<AppState>,
    visitor: Visitor,
    PageParams(params): PageParams<ListParams>,
) -> UiResult<Response> {
    let mut fault = None;
    match params.typed() {
        Typed::Words(filters) => return Ok(Redirect::to(&filters.newest()).into_response()),
        Typed::Fault(sentence) => fault = Some(sentence),
        Typed::Search => {}
    }
    let (listed, refusal) = match &fault {
        Some(_) => (None, None),
        None => match read(&app, &visitor, &params).await? {
            Ok(listed) => (Some(listed), None),
            Err(refusal) => (None, Some(refusal)),
        },
    };
    let is_shown = listed.is_some();
    let (runners, total, next) = match listed {
        Some(listed) => {
            let total = counted(listed.total, listed.total_is_lower_bound, "runner", "runners");
            (listed.runners, total, listed.next_cursor)
        }
        None => (Vec::new(), String::new(), None),
    };
    let filters = params.filters();
    let is_first = params.cursor.is_none();
    let newest = newer::newest(runners.first().map(|runner| runner.runner_id));
    let title = if filters.is_empty() { "Runners".to_owned() } else { "Runners, filtered".to_owned() };
    let rows = runners.into_iter().map(RunnerRow::from).collect();
    page(&RunnersPage {
        frame: Frame::new(&app, &visitor, Section::Runners, title).await,
        fault,
        refusal,
        unknown_word: params.unknown_word(),
        newer: (is_first && is_shown).then(|| filters.newer(newest)),
        older: filters.older(next),
        filters,
        states: RunnerStatus::ALL,
        rows: with_days_left(&app, rows).await?,
        total,
        is_first,
        may_ask: !visitor.caller.only_reads(),
    })
}

/// Reads a page of runners. A filter that cannot be read is a refusal.
async fn read(
    app: &AppState,
    visitor: &Visitor,
    params: &ListParams,
) -> UiResult<Result<list::RunnerList, Refusal>> {
    let call = match params.to_call(Utc::now()) {
        Ok(call) => call,
        Err(problem) => return Ok(Err(Refusal::of(problem)?)),
    };
    let caller = Authorised(visitor.caller.clone());
    match list::list(State(app.clone()), ListSource::Primary, caller, Params(call)).await {
        Ok(listed) => Ok(Ok(listed.into_body())),
        Err(error) => Ok(Err(Refusal::of(error)?)),
    }
}

/// Says how many runners are newer than those of a list.
pub(super) async fn count_newer(
    State(app): State<AppState>,
    visitor: Visitor,
    PageId(after): PageId<Uuid>,
    PageParams(params): PageParams<ListParams>,
) -> UiResult<Response> {
    let filters = params.filters();
    let mut call = params.to_call(Utc::now())?;
    call.since = newer::since(after, call.since);
    call.limit = Some(newer::READ_ROWS);
    let caller = Authorised(visitor.caller);
    let listed = list::list(State(app), ListSource::Primary, caller, Params(call)).await?.into_body();
    Ok(newer::fragment(after, listed.runners.iter().map(|runner| runner.runner_id), &filters.newest()))
}
