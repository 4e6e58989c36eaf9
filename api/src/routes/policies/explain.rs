//! Explanations: `POST /policies/explain` for the caller's own requests, `POST /admin/policies/explain` for any.

use axum::{Json, extract::State};
use domain::{FieldError, Problem, TeamId};
use operations::{ExplainedCaller, Question, Registration, check_text, settle};
use serde::Deserialize;
use utoipa::ToSchema;

use super::view::ExplanationView;
use crate::{
    app::AppState,
    body::{Body, filtered_team},
    caller::{Reads, SeesAllByPost},
    error::ApiResult,
    openapi::problems,
    routes::runners::ProvisionBody,
};

problems! {
    ExplainProblems: MalformedBody, AdminRequired, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
    ExplainOwnProblems: MalformedBody, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
}

/// A request for a runner to explain.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainOwnBody {
    /// Team, by id or name. Required for callers in several teams.
    #[schema(min_length = 1, max_length = 50)]
    pub(crate) team: Option<String>,
    /// Labels in addition to the team's required labels.
    #[serde(default)]
    #[schema(max_items = 100, example = json!(["linux", "gpu-a100"]))]
    pub(crate) labels: Vec<String>,
    /// GitHub's runner group; by default the default group.
    #[schema(minimum = 1)]
    pub(crate) runner_group_id: Option<i64>,
    /// Repository `owner/name` of a workflow job that would run on the runner.
    #[schema(min_length = 1, max_length = 256, example = "octo-org/web")]
    pub(crate) repository: Option<String>,
    /// Workflow of this job, by name.
    #[schema(min_length = 1, max_length = 256)]
    pub(crate) workflow: Option<String>,
    /// Whether the request is for a registration token instead of a JIT config.
    #[serde(default)]
    pub(crate) registration_token: bool,
}

/// A request for a runner to explain, of any caller. Send at most one of `user` and `client`; without both, only the
/// policy of `team` is explained.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainBody {
    /// User who would send the request, by e-mail or id.
    #[schema(min_length = 1, max_length = 254, example = "ada@example.com")]
    pub(crate) user: Option<String>,
    /// Machine client that would send the request, by client id or id.
    #[schema(min_length = 1, max_length = 255)]
    pub(crate) client: Option<String>,
    /// Team, by id or name. Required without `user` and `client`, and for users in several teams.
    #[schema(min_length = 1, max_length = 50)]
    pub(crate) team: Option<String>,
    /// Labels in addition to the team's required labels.
    #[serde(default)]
    #[schema(max_items = 100, example = json!(["linux", "gpu-a100"]))]
    pub(crate) labels: Vec<String>,
    /// GitHub's runner group; by default the default group.
    #[schema(minimum = 1)]
    pub(crate) runner_group_id: Option<i64>,
    /// Repository `owner/name` of a workflow job that would run on the runner.
    #[schema(min_length = 1, max_length = 256, example = "octo-org/web")]
    pub(crate) repository: Option<String>,
    /// Workflow of this job, by name.
    #[schema(min_length = 1, max_length = 256)]
    pub(crate) workflow: Option<String>,
    /// Whether the request is for a registration token instead of a JIT config.
    #[serde(default)]
    pub(crate) registration_token: bool,
}

/// Explain whether a request of yours would be accepted.
///
/// Every check of `POST /runners/jit` with its result, the rule that decides and the admins who may change it. Nothing
/// is written and GitHub is not asked.
#[utoipa::path(
    post, path = "/policies/explain", tag = "me", request_body = ExplainOwnBody,
    responses((status = 200, description = "The decision and its checks", body = ExplanationView), ExplainOwnProblems),
)]
pub(crate) async fn own(
    State(app): State<AppState>,
    Reads(caller): Reads,
    Body(body): Body<ExplainOwnBody>,
) -> ApiResult<Json<ExplanationView>> {
    let team = match &body.team {
        Some(named) => {
            let mut wrong = Vec::new();
            check_text(&mut wrong, "/team", named, 50);
            settle(wrong)?;
            Some(caller.named_team(named))
        }
        None => None,
    };
    let is_person = caller.requester.user().is_some();
    let explained = explain(&app, body, Some(ExplainedCaller::of_authorised(caller)), team).await?;
    Ok(Json(if is_person { explained } else { explained.without_admins() }))
}

/// Explain whether a request of any caller would be accepted.
///
/// For admins and viewers. Every check of `POST /runners/jit` with its result, the rule that decides and the admins who
/// may change it. Nothing is written and GitHub is not asked.
#[utoipa::path(
    post, path = "/admin/policies/explain", tag = "admin", request_body = ExplainBody,
    responses((status = 200, description = "The decision and its checks", body = ExplanationView), ExplainProblems),
)]
pub(crate) async fn any(
    State(app): State<AppState>,
    _: SeesAllByPost,
    Body(body): Body<ExplainBody>,
) -> ApiResult<Json<ExplanationView>> {
    let caller = match (&body.user, &body.client) {
        (Some(user), None) => Some(app.operations().explained_user(user).await?),
        (None, Some(client)) => Some(app.operations().explained_client(client).await?),
        (None, None) if body.team.is_none() => {
            return Err(Problem::field("/team", "send this, user or client").into());
        }
        (None, None) => None,
        (Some(_), Some(_)) => return Err(Problem::field("/client", "not together with user").into()),
    };
    let team = filtered_team(&app, body.team.as_deref()).await?;
    if team == Some(NO_TEAM) {
        return Err(Problem::field("/team", "no team with this name").into());
    }
    let body = ExplainOwnBody {
        team: body.team,
        labels: body.labels,
        runner_group_id: body.runner_group_id,
        repository: body.repository,
        workflow: body.workflow,
        registration_token: body.registration_token,
    };
    Ok(Json(explain(&app, body, caller, team).await?))
}

/// The nil id, which belongs to no team.
const NO_TEAM: TeamId = TeamId::NIL;

/// Explains a request. Its values are checked as those of a request.
async fn explain(
    app: &AppState,
    body: ExplainOwnBody,
    caller: Option<ExplainedCaller>,
    team: Option<TeamId>,
) -> ApiResult<ExplanationView> {
    check_job(&body)?;
    let request = ProvisionBody {
        runner_name: None,
        runner_name_prefix: Some("explained".to_owned()),
        labels: body.labels,
        runner_group_id: body.runner_group_id,
        team: None,
        team_id: None,
        work_folder: None,
        runner_version: None,
        sealing_key: None,
    };
    let request = request.check_beside(Vec::new())?;
    let registration =
        if body.registration_token { Registration::Token { ephemeral: true } } else { Registration::Jit };
    let question = Question {
        caller: caller.as_ref(),
        registration,
        team,
        request: &request,
        repository: body.repository.as_deref(),
        workflow: body.workflow.as_deref(),
    };
    let explained = app.operations().explain(&app.provision_rules(), &question).await?;
    Ok(explained.into())
}

/// Checks the names of the workflow job.
fn check_job(body: &ExplainOwnBody) -> Result<(), Problem> {
    let mut wrong: Vec<FieldError> = Vec::new();
    for (pointer, name) in [("/repository", &body.repository), ("/workflow", &body.workflow)] {
        if let Some(name) = name {
            check_text(&mut wrong, pointer, name, 256);
        }
    }
    if body.repository.as_deref().is_some_and(|name| name.split('/').count() != 2) {
        wrong.push(FieldError::new("/repository", "a repository is `owner/name`"));
    }
    settle(wrong)
}
