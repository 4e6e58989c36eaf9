//! The invitation of a person.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{Problem, Role};
use serde::Deserialize;

use crate::{
    app::AppState,
    body::Body,
    caller::Administers,
    error::ApiResult,
    routes::admin::users::{
        UserView,
        create::{self, NewUser},
    },
    ui::{
        AdminVisitor, Frame, Section, UiForm, UiResult, Visitor, done,
        pages::input::{Refusal, form_page, labels, named_team, optional},
    },
};

/// A person as the form has them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PersonForm {
    email: String,
    issuer: String,
    oidc_sub: String,
    display_name: String,
    role: String,
    /// Any text that is not empty means yes.
    can_use_jit: String,
    can_use_registration_token: String,
    /// Names or ids of teams, separated by commas.
    teams: String,
}

/// The form.
#[derive(Template)]
#[template(path = "person_new.html")]
struct NewPersonPage {
    frame: Frame,
    form: PersonForm,
    roles: &'static [Role],
    issuers: Vec<String>,
    refusal: Option<Refusal>,
}

async fn show(
    app: &AppState,
    visitor: &Visitor,
    form: PersonForm,
    refusal: Option<Refusal>,
) -> UiResult<Response> {
    let shown = NewPersonPage {
        frame: Frame::new(app, visitor, Section::People, "New person").await,
        form,
        roles: Role::ALL,
        issuers: app.verifier.trusted_issuers().map(str::to_owned).collect(),
        refusal,
    };
    form_page(&shown, shown.refusal.as_ref())
}

/// Shows the form.
pub(super) async fn show_form(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
) -> UiResult<Response> {
    let form = PersonForm { role: "member".to_owned(), can_use_jit: "1".to_owned(), ..PersonForm::default() };
    show(&app, &visitor, form, None).await
}

/// Adds a person.
pub(super) async fn create(
    State(app): State<AppState>,
    AdminVisitor { visitor, admin }: AdminVisitor,
    UiForm(form): UiForm<PersonForm>,
) -> UiResult<Response> {
    match add(&app, Administers(admin), &form).await {
        Ok(person) => {
            let name = person.shown_name();
            let sentence = if person.oidc_sub.is_some() {
                format!("{name} was added and may sign in.")
            } else {
                format!(
                    "{name} was invited: the first sign-in with this verified address within 30 days binds the account."
                )
            };
            Ok(done(&format!("/people/{}", person.id), sentence))
        }
        Err(error) => {
            let refusal = Refusal::of(error)?;
            show(&app, &visitor, form, Some(refusal)).await
        }
    }
}

async fn add(app: &AppState, admin: Administers, form: &PersonForm) -> ApiResult<UserView> {
    let mut team_ids = Vec::new();
    for named in labels("/team_ids", &form.teams)? {
        team_ids.push(named_team(app, "/team_ids", &named).await?.id.uuid());
    }
    let role = form.role.parse().map_err(|_| Problem::field("/role", "choose one of the list"))?;
    let body = NewUser {
        email: optional(&form.email),
        issuer: optional(&form.issuer),
        oidc_sub: optional(&form.oidc_sub),
        display_name: optional(&form.display_name),
        role: Some(role),
        is_admin: None,
        is_viewer: None,
        can_use_jit: !form.can_use_jit.is_empty(),
        can_use_registration_token: !form.can_use_registration_token.is_empty(),
        team_ids,
    };
    let (_, person) = create::create(State(app.clone()), admin, Body(body)).await?;
    Ok(person.0)
}
