//! New teams and changes of a policy, with a try of a draft on the team's past requests.

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::TimeDelta;
use domain::{DriftResponse, TeamId};
use operations::Replay;

use super::form::TeamForm;
use crate::{
    app::AppState,
    body::{Body, Id},
    caller::{Administers, ReadsTeams},
    error::ApiResult,
    routes::admin::teams::{self, TeamView},
    ui::{
        AdminVisitor, Frame, Section, UiForm, UiResult, Visitor, done,
        pages::input::{PageId, Refusal, form_page},
    },
};

/// Days of past requests on which a draft is tried.
const TRIED_DAYS: i64 = 30;

/// The form of a team.
#[derive(Template)]
#[template(path = "team_form.html")]
struct TeamFormPage {
    frame: Frame,
    /// The team that is changed; `None` for a new one.
    team: Option<TeamView>,
    form: TeamForm,
    installations: Vec<String>,
    drift_responses: &'static [DriftResponse],
    tried: Option<Replay>,
    refusal: Option<Refusal>,
}

struct Shown {
    team: Option<TeamView>,
    form: TeamForm,
    tried: Option<Replay>,
    refusal: Option<Refusal>,
}

async fn show(app: &AppState, visitor: &Visitor, shown: Shown) -> UiResult<Response> {
    let title = shown.team.as_ref().map_or("New team".to_owned(), |team| format!("Policy of {}", team.name));
    let shown = TeamFormPage {
        frame: Frame::new(app, visitor, Section::Teams, title).await,
        team: shown.team,
        form: shown.form,
        installations: app.installations.keys().map(ToString::to_string).collect(),
        drift_responses: DriftResponse::ALL,
        tried: shown.tried,
        refusal: shown.refusal,
    };
    form_page(&shown, shown.refusal.as_ref())
}

async fn read(app: &AppState, visitor: &Visitor, id: TeamId) -> UiResult<TeamView> {
    Ok(teams::show(State(app.clone()), ReadsTeams(visitor.caller.clone()), Id(id)).await?.0)
}

/// Shows the form of a new team.
pub(super) async fn new(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
) -> UiResult<Response> {
    let first = app.installations.keys().next().map(ToString::to_string).unwrap_or_default();
    let form = TeamForm::empty(first);
    show(&app, &visitor, Shown { team: None, form, tried: None, refusal: None }).await
}

/// Adds a team.
pub(super) async fn create(
    State(app): State<AppState>,
    AdminVisitor { visitor, admin }: AdminVisitor,
    UiForm(form): UiForm<TeamForm>,
) -> UiResult<Response> {
    let created = match form.read() {
        Ok(body) => teams::create(State(app.clone()), Administers(admin), Body(body)).await,
        Err(problem) => Err(problem.into()),
    };
    match created {
        Ok((_, team)) => {
            let sentence =
                with_warnings(&format!("The team {} was added; now add its members.", team.name), &team);
            Ok(done(&format!("/teams/{}", team.id), sentence))
        }
        Err(error) => {
            let refusal = Some(Refusal::of(error)?);
            show(&app, &visitor, Shown { team: None, form, tried: None, refusal }).await
        }
    }
}

/// Adds what the API warns about to a sentence.
fn with_warnings(sentence: &str, team: &TeamView) -> String {
    let warnings = team.warnings.iter().map(|warning| warning.detail.as_str());
    [sentence].into_iter().chain(warnings).collect::<Vec<_>>().join(" ")
}

/// Shows the form of a team.
pub(super) async fn edit(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageId(id): PageId<TeamId>,
) -> UiResult<Response> {
    let team = read(&app, &visitor, id).await?;
    let form = TeamForm::of(&team);
    show(&app, &visitor, Shown { team: Some(team), form, tried: None, refusal: None }).await
}

/// Changes a team.
pub(super) async fn change(
    State(app): State<AppState>,
    AdminVisitor { visitor, admin }: AdminVisitor,
    PageId(id): PageId<TeamId>,
    UiForm(form): UiForm<TeamForm>,
) -> UiResult<Response> {
    let team = read(&app, &visitor, id).await?;
    let changed = match form.changes(&team) {
        Ok(body) => teams::change(State(app.clone()), Administers(admin), Id(id), Body(body)).await,
        Err(problem) => Err(problem.into()),
    };
    match changed {
        Ok(team) => {
            let sentence =
                format!("The policy of {} was changed; its existing runners stay as they are.", team.name);
            Ok(done(&format!("/teams/{id}"), with_warnings(&sentence, &team)))
        }
        Err(error) => {
            let refusal = Some(Refusal::of(error)?);
            show(&app, &visitor, Shown { team: Some(team), form, tried: None, refusal }).await
        }
    }
}

/// Tries a draft on the team's past requests. Nothing is changed.
pub(super) async fn try_out(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageId(id): PageId<TeamId>,
    UiForm(form): UiForm<TeamForm>,
) -> UiResult<Response> {
    let team = read(&app, &visitor, id).await?;
    let (tried, refusal) = match replay(&app, &visitor, id, &form).await {
        Ok(tried) => (Some(tried), None),
        Err(error) => (None, Some(Refusal::of(error)?)),
    };
    show(&app, &visitor, Shown { team: Some(team), form, tried, refusal }).await
}

async fn replay(app: &AppState, visitor: &Visitor, id: TeamId, form: &TeamForm) -> ApiResult<Replay> {
    let draft = form.read()?.into_draft(app)?;
    let since = app.store.now().await? - TimeDelta::days(TRIED_DAYS);
    let draft = app.operations().replay_draft(&app.provision_rules(), id, &draft).await?;
    let mut lists = app.lists(&visitor.caller).await?;
    let replay = draft.run(&mut lists, since).await;
    Ok(lists.respond(replay, |replay| replay)?.into_body())
}
