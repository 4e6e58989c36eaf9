//! The list of jobs.

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use chrono::{DateTime, Utc};
use domain::{Caller, JobKind, JobState, Problem};
use serde::Deserialize;
use url::form_urlencoded::Serializer;
use uuid::Uuid;

use super::{
    held::Hold,
    query::{self, Query},
};
use crate::{
    app::AppState,
    body::Params,
    caller::Authorised,
    lists::ListSource,
    routes::jobs::{
        show::{self, JobList, JobParams},
        view::JobView,
    },
    ui::{
        Frame, Section, UiError, UiResult, Visitor,
        format::span,
        page,
        pages::{
            input::{PageId, PageParams, Refusal},
            list_filters::{Filters, PAGE_ROWS, chosen, counted, time},
            newer,
            team_names::team_names,
            words,
        },
    },
};

/// Filters in the URL, by the words of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// Filters as a text; the page turns it into the others.
    q: Option<String>,
    about: Option<String>,
    #[serde(alias = "status")]
    state: Option<String>,
    kind: Option<String>,
    team: Option<String>,
    runner: Option<String>,
    #[serde(alias = "user")]
    by: Option<String>,
    error: Option<String>,
    worker: Option<String>,
    installation: Option<String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
}

/// Jobs, newest first.
#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    frame: Frame,
    filters: Filters,
    /// The filters as a text.
    text: String,
    /// What is wrong with the text.
    fault: Option<String>,
    refusal: Option<Refusal>,
    rows: Vec<JobRow>,
    total: String,
    is_first: bool,
    /// Address that says how many newer rows there are, for the newest page.
    newer: Option<String>,
    older: Option<String>,
    /// Identity of the visitor.
    me: String,
}

/// A job in the list.
struct JobRow {
    job: JobView,
    hold: Option<Hold>,
    team: Option<String>,
    now: DateTime<Utc>,
}

impl JobRow {
    /// Returns the state, and what a queued job waits for.
    fn waits(&self) -> Option<&'static str> {
        self.job.blocked_on.map(words::waits_for)
    }

    /// Returns how long the job has waited, runs, or took.
    fn time(&self) -> String {
        let JobView { created_at, started_at, finished_at, .. } = &self.job;
        match (finished_at, started_at) {
            (Some(end), _) => format!("took {}", span(*end - *created_at)),
            (None, Some(start)) if self.job.state == JobState::Running => {
                format!("runs for {}", span(self.now - *start))
            }
            _ => format!("waits for {}", span(self.now - *created_at)),
        }
    }

    fn runner(&self) -> &str {
        self.job.runner_name.as_deref().unwrap_or("–")
    }
}

impl ListParams {
    /// Returns the filters that are given, by their words.
    fn given(&self) -> Vec<(&'static str, String)> {
        let Self { about, state, kind, team, runner, by, error, worker, installation, since, until, .. } =
            self;
        let values = [about, state, kind, team, runner, by, error, worker, installation, since, until];
        let given = query::WORDS.0.iter().zip(values);
        given.filter_map(|(word, value)| Some((*word, value.clone()?))).collect()
    }

    /// Returns the parameters of the API's call.
    ///
    /// # Errors
    /// `validation_failed` with every value that is none of its word.
    fn to_call(&self, now: DateTime<Utc>) -> Result<JobParams, Problem> {
        let mut errors = Vec::new();
        let params = JobParams {
            state: chosen(&mut errors, "query:state", self.state.as_deref(), JobState::ALL, JobState::as_str),
            kind: chosen(&mut errors, "query:kind", self.kind.as_deref(), JobKind::ALL, JobKind::as_str),
            team: self.team.clone(),
            user: self.by.clone(),
            error: self.error.clone(),
            runner: self.runner.clone(),
            worker: self.worker.clone(),
            installation: self.installation.clone(),
            q: self.about.clone(),
            since: time(&mut errors, "query:since", self.since.as_deref(), now),
            until: time(&mut errors, "query:until", self.until.as_deref(), now),
            limit: self.limit.or(Some(PAGE_ROWS)),
            offset: None,
            cursor: self.cursor.clone(),
        };
        if errors.is_empty() { Ok(params) } else { Err(Problem::invalid(errors)) }
    }
}

/// Returns the URL of the list with these filters.
fn url_of(filters: &[(&'static str, String)]) -> String {
    let query = Serializer::new(String::new()).extend_pairs(filters).finish();
    if query.is_empty() { "/jobs".to_owned() } else { format!("/jobs?{query}") }
}

/// Reads a page of jobs. A filter that cannot be read is a refusal.
async fn read(
    app: &AppState,
    caller: &Caller,
    params: &ListParams,
) -> Result<Result<JobList, Refusal>, UiError> {
    let call = match params.to_call(Utc::now()) {
        Ok(call) => call,
        Err(problem) => return Ok(Err(Refusal::of(problem)?)),
    };
    match show::list(State(app.clone()), ListSource::Primary, Authorised(caller.clone()), Params(call)).await
    {
        Ok(listed) => Ok(Ok(listed.into_body())),
        Err(error) => Ok(Err(Refusal::of(error)?)),
    }
}

/// Shows the jobs that the visitor may see.
pub(super) async fn show_list(
    State(app): State<AppState>,
    visitor: Visitor,
    PageParams(params): PageParams<ListParams>,
) -> UiResult<Response> {
    let mut fault = None;
    if let Some(text) = &params.q {
        match Query::read(text) {
            Ok(Query::Job(id)) => return Ok(Redirect::to(&format!("/jobs/{id}")).into_response()),
            Ok(Query::Filters(filters)) => return Ok(Redirect::to(&url_of(&filters)).into_response()),
            Err(sentence) => fault = Some(sentence),
        }
    }
    let given = params.given();
    let filters = filters_of(&given);
    let (listed, refusal) = match &fault {
        Some(_) => (None, None),
        None => match read(&app, &visitor.caller, &params).await? {
            Ok(listed) => (Some(listed), None),
            Err(refusal) => (None, Some(refusal)),
        },
    };
    let (jobs, total, next) = match listed {
        Some(listed) => {
            let total = counted(listed.total, listed.total_is_lower_bound, "job", "jobs");
            (listed.jobs, total, listed.next_cursor)
        }
        None => (Vec::new(), String::new(), None),
    };
    let newest = newer::newest(jobs.first().map(|job| job.job_id));
    let is_newest = params.cursor.is_none() && fault.is_none() && refusal.is_none();
    let (names, now) =
        (team_names(&app, &visitor.caller, jobs.iter().filter_map(|job| job.team_id)).await?, Utc::now());
    let frame = Frame::new(&app, &visitor, Section::Jobs, "Jobs").await;
    let row = |job: JobView| JobRow {
        team: job.team_id.and_then(|id| names.get(&id).cloned()),
        hold: Hold::of(&job, frame.snapshot.as_deref(), frame.oversees()),
        job,
        now,
    };
    page(&JobsPage {
        rows: jobs.into_iter().map(row).collect(),
        frame,
        text: params.q.clone().unwrap_or_else(|| query::written(&given)),
        fault,
        refusal,
        newer: is_newest.then(|| filters.newer(newest)),
        older: filters.older(next),
        filters,
        total,
        is_first: params.cursor.is_none(),
        me: Serializer::new(String::new()).append_pair("by", &visitor.caller.identity).finish(),
    })
}

fn filters_of(given: &[(&'static str, String)]) -> Filters {
    given.iter().fold(Filters::of("/jobs"), |filters, (word, value)| filters.with(word, Some(value)))
}

/// Says how many jobs are newer than those of a list.
pub(super) async fn count_newer(
    State(app): State<AppState>,
    visitor: Visitor,
    PageId(after): PageId<Uuid>,
    PageParams(params): PageParams<ListParams>,
) -> UiResult<Response> {
    let filters = filters_of(&params.given());
    let mut call = params.to_call(Utc::now())?;
    call.since = newer::since(after, call.since);
    call.limit = Some(newer::READ_ROWS);
    let listed = show::list(State(app), ListSource::Primary, Authorised(visitor.caller), Params(call))
        .await?
        .into_body();
    Ok(newer::fragment(after, listed.jobs.iter().map(|job| job.job_id), &filters.newest()))
}
