//! The explanation of a decision: every check of a request, its rule, and who may change it.

use askama::Template;
use axum::{extract::State, response::Response};
use serde::Deserialize;

use crate::{
    app::AppState,
    body::Body,
    caller::{Reads, SeesAllByPost},
    error::ApiResult,
    routes::policies::{
        explain::{self, ExplainBody, ExplainOwnBody},
        view::ExplanationView,
    },
    ui::{
        Frame, Section, UiResult, UiRoutes, Visitor,
        pages::input::{PageParams, Refusal, form_page, labels, number, optional},
    },
};

pub(crate) fn routes() -> UiRoutes {
    UiRoutes::new().get("/explain", show)
}

/// A request to explain, as the URL has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Question {
    user: String,
    client: String,
    team: String,
    /// Labels, separated by commas.
    labels: String,
    group: String,
    repository: String,
    workflow: String,
    /// Any text that is not empty means yes.
    registration_token: String,
}

/// The form and the explanation.
#[derive(Template)]
#[template(path = "explain.html")]
struct ExplainPage {
    frame: Frame,
    question: Question,
    teams: Vec<String>,
    check: Option<ExplanationView>,
    refusal: Option<Refusal>,
}

impl Question {
    fn is_empty(&self) -> bool {
        [&self.user, &self.client, &self.team, &self.labels, &self.group, &self.repository, &self.workflow]
            .into_iter()
            .all(String::is_empty)
    }

    /// Returns the body of a question about the visitor's own request.
    fn own(&self) -> ApiResult<ExplainOwnBody> {
        Ok(ExplainOwnBody {
            team: optional(&self.team),
            labels: labels("/labels", &self.labels)?,
            runner_group_id: number("/runner_group_id", &self.group)?,
            repository: optional(&self.repository),
            workflow: optional(&self.workflow),
            registration_token: !self.registration_token.is_empty(),
        })
    }

    /// Returns the body of a question about any request.
    fn any(&self) -> ApiResult<ExplainBody> {
        let ExplainOwnBody { team, labels, runner_group_id, repository, workflow, registration_token } =
            self.own()?;
        let (user, client) = (optional(&self.user), optional(&self.client));
        Ok(ExplainBody {
            user,
            client,
            team,
            labels,
            runner_group_id,
            repository,
            workflow,
            registration_token,
        })
    }
}

async fn answer(app: &AppState, visitor: &Visitor, question: &Question) -> ApiResult<ExplanationView> {
    let caller = visitor.caller.clone();
    let answer = if caller.sees_everything() {
        explain::any(State(app.clone()), SeesAllByPost(caller), Body(question.any()?)).await?
    } else {
        explain::own(State(app.clone()), Reads(caller), Body(question.own()?)).await?
    };
    Ok(answer.0)
}

/// Explains the request that the URL describes. Nothing is written.
async fn show(
    State(app): State<AppState>,
    visitor: Visitor,
    PageParams(question): PageParams<Question>,
) -> UiResult<Response> {
    let asked = if question.is_empty() { None } else { Some(answer(&app, &visitor, &question).await) };
    let (check, refusal) = match asked {
        None => (None, None),
        Some(Ok(check)) => (Some(check), None),
        Some(Err(error)) => (None, Some(Refusal::of(error)?)),
    };
    let shown = ExplainPage {
        frame: Frame::new(&app, &visitor, Section::Explain, "Explain").await,
        question,
        teams: visitor.caller.teams.iter().map(|team| team.name.clone()).collect(),
        check,
        refusal,
    };
    form_page(&shown, shown.refusal.as_ref())
}
