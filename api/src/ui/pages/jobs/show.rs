//! One job: why it waits, what happened to it, and its calls to GitHub.

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use domain::{Job, JobId, JobState};
use store::Dismissal;

use super::held::Hold;
use crate::{
    app::AppState,
    routes::jobs::{
        history::{JobCallView, JobEventView},
        show,
        view::JobView,
    },
    ui::{
        Frame, Section, UiResult, Visitor,
        format::span,
        page,
        pages::{failures, input::PageId, words},
    },
};

/// A job with its history.
#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    frame: Frame,
    job: JobView,
    hold: Option<Hold>,
    /// Name of the team, if the visitor may know it.
    team: Option<String>,
    /// Details for those who see everything.
    inside: Option<Inside>,
    may_cancel: bool,
    /// Whether the visitor asked for the runner, and its config may wait for them.
    may_fetch: bool,
    now: DateTime<Utc>,
}

/// Details of a job for admins and viewers.
struct Inside {
    installation: String,
    snoozes: i32,
    rescues: i32,
    starts: i64,
    waiters: i32,
    trace: Option<String>,
    /// Decision of an admin about the failed job.
    decision: Option<Dismissal>,
    advice: Option<String>,
}

impl Inside {
    fn new(job: &Job, decision: Option<Dismissal>) -> Self {
        Self {
            installation: job.installation.to_string(),
            snoozes: job.snoozes,
            rescues: job.rescues,
            starts: job.fence,
            waiters: job.waiters,
            trace: job.trace.clone(),
            decision,
            advice: job.error.as_ref().map(|problem| failures::advice(problem.code.remedy())),
        }
    }

    fn retried_as(&self) -> Option<JobId> {
        self.decision.as_ref().and_then(|decision| decision.retried_as)
    }
}

impl JobPage {
    fn noun(&self) -> &'static str {
        words::kind_noun(self.job.kind)
    }

    /// Returns what the job does now, in a sentence.
    fn sentence(&self) -> String {
        let age = span(self.now - self.job.created_at);
        let took = |end: DateTime<Utc>| span(end - self.job.created_at);
        match (self.job.state, self.job.finished_at) {
            (JobState::Queued, _) => match (&self.hold, self.job.blocked_on) {
                (Some(hold), _) => format!("It has waited {age}, now for {}", hold.cause),
                (None, Some(reason)) => format!("It has waited {age}, now for {}.", words::waits_for(reason)),
                (None, None) => format!("It has waited {age}."),
            },
            (JobState::Running, _) => format!("A worker runs it. It was accepted {age} ago."),
            (JobState::Succeeded, Some(end)) => format!("It succeeded, {} after it was accepted.", took(end)),
            (JobState::Failed, Some(end)) => format!("It failed, {} after it was accepted.", took(end)),
            (JobState::Cancelled, Some(end)) => {
                format!("It was cancelled, {} after it was accepted.", took(end))
            }
            (JobState::Expired, Some(end)) => {
                format!("It was not done before its deadline, and ended {} after it was accepted.", took(end))
            }
            (_, None) => String::new(),
        }
    }

    /// Returns whether an admin may retry or discard the job now.
    fn is_undecided(&self) -> bool {
        let failed = matches!(self.job.state, JobState::Failed | JobState::Expired);
        failed && self.inside.as_ref().is_some_and(|inside| inside.decision.is_none())
    }

    fn may_retry(&self) -> bool {
        self.is_undecided() && self.job.kind.makes_runner()
    }

    fn events(&self) -> Vec<(&JobEventView, &'static str, Option<String>)> {
        let events = self.job.events.as_deref().unwrap_or_default();
        let after = |event: &JobEventView| {
            let since = event.at - self.job.created_at;
            (since.num_milliseconds() > 0).then(|| span(since))
        };
        events.iter().map(|event| (event, words::event_sentence(event.what), after(event))).collect()
    }

    fn calls(&self) -> &[JobCallView] {
        self.job.calls.as_deref().unwrap_or_default()
    }
}

/// Shows a job that the visitor may see.
pub(super) async fn show(
    State(app): State<AppState>,
    visitor: Visitor,
    PageId(id): PageId<JobId>,
) -> UiResult<Response> {
    let caller = &visitor.caller;
    let (job, view) = show::find_job(&app, caller, id).await?;
    let mut team =
        job.team.and_then(|id| caller.teams.iter().find(|team| team.id == id)).map(|team| team.name.clone());
    let mut inside = None;
    if caller.sees_everything() {
        let mut conn = app.store.conn().await?;
        inside = Some(Inside::new(&job, conn.jobs().dismissal(id).await?));
        if let (None, Some(id)) = (&team, job.team) {
            team = conn.overviews().team_names(&[id]).await?.pop().map(|(_, name)| name);
        }
    }
    let title = match &view.runner_name {
        Some(name) => format!("Job of {name}"),
        None => "Job".to_owned(),
    };
    let open = matches!(view.state, JobState::Queued | JobState::Running | JobState::Succeeded);
    let frame = Frame::new(&app, &visitor, Section::Jobs, title).await;
    page(&JobPage {
        hold: Hold::of(&view, frame.snapshot.as_deref(), frame.oversees()),
        frame,
        team,
        inside,
        may_cancel: view.state == JobState::Queued && !caller.only_reads() && caller.may_cancel(&job),
        may_fetch: view.kind.makes_runner() && open && !caller.only_reads() && caller.asked_for(&job),
        now: job.now,
        job: view,
    })
}
