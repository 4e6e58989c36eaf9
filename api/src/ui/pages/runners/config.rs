//! The hand-out of a config: a page that waits for the job, and the config on a click that counts as the hand-out.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{BlockedOn, Job, JobId, JobState};
use store::CredentialState;
use uuid::Uuid;

use crate::{
    app::AppState,
    credential::IssuedCredential,
    queueing,
    routes::jobs::{credential, failure_of, show::job_view},
    ui::{Frame, Section, UiResult, Visitor, notice, page, pages::input::PageId},
};

/// Stage of a request on its way to a config.
enum Stage {
    /// The job is not final; a sentence says what it waits for.
    Waiting(String),
    /// The config can be handed out.
    Ready,
    /// The config is sealed to a key of the requester's machine.
    Sealed,
    /// The config was handed out, or has expired.
    Gone,
    /// The request came to nothing.
    Failed { code: &'static str, detail: String },
}

/// A request before its config is handed out.
#[derive(Template)]
#[template(path = "runner_config.html")]
struct ConfigPage {
    frame: Frame,
    job: JobId,
    runner: Option<Uuid>,
    name: String,
    /// Whether the visitor asked for it: others never get its config.
    is_mine: bool,
    stage: Stage,
}

/// A config or a registration token that was handed out.
#[derive(Template)]
#[template(path = "runner_handed_out.html")]
struct HandedOutPage {
    frame: Frame,
    name: String,
    runner: Uuid,
    expires_at: chrono::DateTime<chrono::Utc>,
    secret: String,
    /// Shell command that starts or registers the runner.
    command: String,
    is_config: bool,
}

/// Shows how far a request is.
pub(super) async fn wait(
    State(app): State<AppState>,
    visitor: Visitor,
    PageId(id): PageId<JobId>,
) -> UiResult<Response> {
    let job = app.operations().visible_job(&visitor.caller, id).await?;
    let name = name_of(&job);
    let is_mine = visitor.caller.asked_for(&job);
    page(&ConfigPage {
        frame: Frame::new(&app, &visitor, Section::Runners, name.clone()).await,
        job: id,
        runner: job.runner.map(Uuid::from),
        name,
        is_mine,
        stage: stage(&app, job).await?,
    })
}

fn name_of(job: &Job) -> String {
    job.runner_name.clone().unwrap_or_else(|| "New runner".to_owned())
}

async fn stage(app: &AppState, job: Job) -> UiResult<Stage> {
    if let Some(problem) = failure_of(&job) {
        return Ok(Stage::Failed { code: problem.code.as_str(), detail: problem.detail });
    }
    if job.state == JobState::Succeeded {
        let state = app.store.conn().await?.credentials().state(job.id).await?;
        return Ok(match state {
            Some(CredentialState::Ready) if job.params.sealing_key().is_some() => Stage::Sealed,
            Some(CredentialState::Ready) => Stage::Ready,
            _ => Stage::Gone,
        });
    }
    if job.state != JobState::Queued {
        return Ok(Stage::Waiting("GitHub is being asked for the config.".to_owned()));
    }
    let position = queueing::position(app, &job).await;
    let view = job_view(job, position.as_ref());
    let reason = view.blocked_on.map_or("It waits", waiting_for);
    let seconds = position.map(|position| position.starts_in.as_secs());
    Ok(Stage::Waiting(match seconds {
        Some(0) | None => format!("{reason}."),
        Some(seconds) => format!("{reason}, about {seconds} s."),
    }))
}

fn waiting_for(reason: BlockedOn) -> &'static str {
    match reason {
        BlockedOn::Worker => "It waits for a worker",
        BlockedOn::Budget => "It waits for GitHub's limit",
        BlockedOn::GithubOutage => "It waits until GitHub answers again",
        BlockedOn::Paused => "It waits for the end of a pause",
        BlockedOn::Retry => "It is tried again after a failure",
        BlockedOn::Busy => "The runner is busy",
    }
}

/// Hands out the config. Only this request shows it, and a repeated one within 120 seconds.
pub(super) async fn hand_out(
    State(app): State<AppState>,
    visitor: Visitor,
    PageId(id): PageId<JobId>,
) -> UiResult<Response> {
    let caller = &visitor.caller;
    let job = app.operations().find_job(caller, id).await?;
    let gets_it = |job: &Job| caller.asked_for(job) && caller.may_see(job.team, job.requester);
    if job.is_some_and(|job| gets_it(&job) && job.params.sealing_key().is_some()) {
        // A browser could not open the config, and the hand-out would count. Others are refused below, on record.
        return Ok(notice::redirect(&format!("/jobs/{id}/config")));
    }
    let issued = credential::take(&app, &visitor.caller, &visitor.origin, id).await?;
    let (name, runner, expires_at) = issued.about();
    let frame = Frame::new(&app, &visitor, Section::Runners, name).await;
    let name = name.to_owned();
    page(&match issued {
        IssuedCredential::Jit(config) => HandedOutPage {
            frame,
            name,
            runner,
            expires_at,
            secret: config.encoded_jit_config,
            command: config.run_command,
            is_config: true,
        },
        IssuedCredential::Sealed(_) => return Ok(notice::redirect(&format!("/jobs/{id}/config"))),
        IssuedCredential::Token(token) => HandedOutPage {
            frame,
            name,
            runner,
            expires_at,
            secret: token.registration_token,
            command: token.configuration_command,
            is_config: false,
        },
    })
}
