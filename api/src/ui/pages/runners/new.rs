//! The request for a runner: team, name and labels, checked by the rules of the API before it is sent.

use std::time::Duration;

use askama::Template;
use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};
use domain::{Caller, Problem};
use operations::{Actor, ProvisionCommand, Registration};
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    app::AppState,
    body::Body,
    caller::{Authorised, Reads},
    error::ApiResult,
    routes::{
        admin::teams::TeamView,
        policies::{
            explain::{self, ExplainOwnBody},
            view::ExplanationView,
        },
        runners::{provision::hash_body, request::ProvisionBody},
        teams::my_teams,
    },
    ui::{
        Frame, Section, UiForm, UiResult, Visitor, page,
        pages::input::{PageParams, Refusal, form_page, labels, number, optional},
    },
    waiting,
};

/// Longest time to wait for the job before its page is shown.
const SHORT_WAIT: Duration = Duration::from_secs(2);

/// A request for a runner, as its form has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RunnerForm {
    /// Team, by id; empty for the only one.
    team: String,
    /// Prefix of the name, or the name itself.
    name: String,
    /// Whether the name is exact: any text that is not empty.
    exact: String,
    /// Labels, separated by commas.
    labels: String,
    /// Runner group, by id.
    group: String,
    /// Key that makes a repeated submission the same request.
    key: String,
}

/// A team to choose.
struct TeamChoice {
    team: TeamView,
    is_chosen: bool,
}

impl TeamChoice {
    /// Returns whether the team's quota is used up.
    fn is_full(&self) -> bool {
        self.team.max_runners.is_some_and(|most| self.team.active_runner_count >= i64::from(most))
    }

    fn may_be_chosen(&self) -> bool {
        self.team.is_active
    }
}

/// The form.
#[derive(Template)]
#[template(path = "runner_new.html")]
struct NewRunnerPage {
    frame: Frame,
    form: RunnerForm,
    teams: Vec<TeamChoice>,
    check: Option<ExplanationView>,
    refusal: Option<Refusal>,
}

/// Result of the policy check alone, for a form that is being filled in.
#[derive(Template)]
#[template(path = "runner_check.html")]
struct CheckFragment {
    check: Option<ExplanationView>,
    refusal: Option<Refusal>,
}

impl RunnerForm {
    fn team(&self) -> Result<Option<Uuid>, Problem> {
        let unknown = |_| Problem::field("/team_id", "choose one of your teams");
        optional(&self.team).map(|id| id.parse().map_err(unknown)).transpose()
    }

    /// Returns the body that a program would send to the API.
    fn body(&self) -> Result<ProvisionBody, Problem> {
        let name = optional(&self.name);
        let (exact, prefix) = if self.exact.is_empty() { (None, name) } else { (name, None) };
        Ok(ProvisionBody {
            runner_name: exact,
            runner_name_prefix: prefix,
            labels: labels("/labels", &self.labels)?,
            runner_group_id: number("/runner_group_id", &self.group)?,
            team: None,
            team_id: self.team()?,
            work_folder: None,
            runner_version: None,
            sealing_key: None,
        })
    }
}

/// Returns what the policy says about the request, or why it cannot be read.
async fn explain(app: &AppState, caller: &Caller, form: &RunnerForm) -> ApiResult<ExplanationView> {
    let body = form.body()?;
    let question = ExplainOwnBody {
        team: body.team_id.map(|id| id.to_string()),
        labels: body.labels,
        runner_group_id: body.runner_group_id,
        repository: None,
        workflow: None,
        registration_token: false,
    };
    let answer = explain::own(State(app.clone()), Reads(caller.clone()), Body(question)).await?;
    Ok(answer.0)
}

async fn show(
    app: &AppState,
    visitor: &Visitor,
    form: RunnerForm,
    check: Option<ExplanationView>,
    refusal: Option<Refusal>,
) -> UiResult<Response> {
    let mine = my_teams(State(app.clone()), Authorised(visitor.caller.clone())).await?.0;
    let named = form.team().ok().flatten();
    let alone = mine.teams.len() == 1;
    let choice = |team: TeamView| TeamChoice { is_chosen: alone || named == Some(team.id), team };
    let shown = NewRunnerPage {
        frame: Frame::new(app, visitor, Section::Runners, "New runner").await,
        form: RunnerForm { key: optional(&form.key).unwrap_or_else(|| Uuid::new_v4().to_string()), ..form },
        teams: mine.teams.into_iter().map(|mine| choice(mine.team)).collect(),
        check,
        refusal,
    };
    form_page(&shown, shown.refusal.as_ref())
}

/// Shows the form, filled in from the query.
pub(super) async fn show_form(
    State(app): State<AppState>,
    visitor: Visitor,
    PageParams(form): PageParams<RunnerForm>,
) -> UiResult<Response> {
    let form = RunnerForm { key: String::new(), ..form };
    show(&app, &visitor, form, None, None).await
}

/// Checks the request and changes nothing. A script gets the result alone, a form the whole page.
pub(super) async fn check(
    State(app): State<AppState>,
    visitor: Visitor,
    headers: HeaderMap,
    UiForm(form): UiForm<RunnerForm>,
) -> UiResult<Response> {
    let (check, refusal) = match explain(&app, &visitor.caller, &form).await {
        Ok(check) => (Some(check), None),
        Err(error) => (None, Some(Refusal::of(error)?)),
    };
    if headers.contains_key("hx-request") {
        return page(&CheckFragment { check, refusal });
    }
    let refusal = refusal.map(|refusal| Refusal { status: 200, ..refusal });
    show(&app, &visitor, form, check, refusal).await
}

/// Sends the request, and goes to the page at which its config is handed out.
pub(super) async fn submit(
    State(app): State<AppState>,
    visitor: Visitor,
    UiForm(form): UiForm<RunnerForm>,
) -> UiResult<Response> {
    let job = match send(&app, &visitor, &form).await {
        Ok(job) => job,
        Err(error) => {
            let refusal = Refusal::of(error)?;
            let check = explain(&app, &visitor.caller, &form).await.ok();
            return show(&app, &visitor, form, check, Some(refusal)).await;
        }
    };
    Ok(Redirect::to(&format!("/jobs/{job}/config")).into_response())
}

/// Sends the request as the API does. Returns its job.
async fn send(app: &AppState, visitor: &Visitor, form: &RunnerForm) -> ApiResult<domain::JobId> {
    let body = form.body()?;
    let (request, team) = body.check(&visitor.caller)?;
    let by = Actor { caller: &visitor.caller, origin: &visitor.origin };
    let key = optional(&form.key).filter(|key| key.len() <= 64 && key.bytes().all(|b| b.is_ascii_graphic()));
    let command =
        ProvisionCommand::new(by, Registration::Jit, request, team).with_key(key, hash_body(&body)?);
    let (job, _) = app.operations().provision(&app.provision_rules(), &command).await?;
    waiting::until_final(app, &visitor.caller, job.id, SHORT_WAIT).await?;
    Ok(job.id)
}
