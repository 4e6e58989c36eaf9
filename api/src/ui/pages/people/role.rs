//! Change of a person's role and rights.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{Problem, Role, User, UserId};
use serde::Deserialize;

use crate::{
    app::AppState,
    body::{Body, Id},
    caller::Administers,
    error::ApiResult,
    routes::admin::users::{
        UserView,
        change::{self, ChangedUser},
    },
    ui::{
        AdminVisitor, Frame, Section, UiForm, UiResult, Visitor, done,
        pages::input::{PageId, Refusal, form_page, given_reason},
    },
};

/// A role and rights as the form has them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RoleForm {
    role: String,
    /// Any text that is not empty means yes.
    can_use_jit: String,
    can_use_registration_token: String,
    comment: String,
}

/// The form.
#[derive(Template)]
#[template(path = "person_role.html")]
struct RolePage {
    frame: Frame,
    person: UserView,
    form: RoleForm,
    roles: &'static [Role],
    is_last_admin: bool,
    refusal: Option<Refusal>,
}

pub(super) async fn person(app: &AppState, id: UserId) -> UiResult<User> {
    let user = app.store.conn().await?.users().get(id).await?;
    Ok(user.ok_or_else(|| Problem::not_found("user"))?)
}

async fn show(
    app: &AppState,
    visitor: &Visitor,
    user: User,
    form: RoleForm,
    refusal: Option<Refusal>,
) -> UiResult<Response> {
    let is_last_admin = app.operations().is_last_admin(&user).await?;
    let person = UserView::from(user);
    let title = format!("Role of {}", person.shown_name());
    let frame = Frame::new(app, visitor, Section::People, title).await;
    let shown = RolePage { frame, person, form, roles: Role::ALL, is_last_admin, refusal };
    form_page(&shown, shown.refusal.as_ref())
}

/// Shows the form, which says what each role may do.
pub(super) async fn show_form(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageId(id): PageId<UserId>,
) -> UiResult<Response> {
    let user = person(&app, id).await?;
    let yes = |right: bool| if right { "1".to_owned() } else { String::new() };
    let form = RoleForm {
        role: user.role().to_string(),
        can_use_jit: yes(user.can_use_jit),
        can_use_registration_token: yes(user.can_use_registration_token),
        comment: String::new(),
    };
    show(&app, &visitor, user, form, None).await
}

/// Changes role and rights.
pub(super) async fn change(
    State(app): State<AppState>,
    AdminVisitor { visitor, admin }: AdminVisitor,
    PageId(id): PageId<UserId>,
    UiForm(form): UiForm<RoleForm>,
) -> UiResult<Response> {
    match write(&app, Administers(admin), id, &form).await {
        Ok(person) => {
            let sentence = format!("{} is {} now.", person.shown_name(), with_article(person.role));
            Ok(done(&format!("/people/{id}"), sentence))
        }
        Err(error) => {
            let refusal = Refusal::of(error)?;
            show(&app, &visitor, person(&app, id).await?, form, Some(refusal)).await
        }
    }
}

fn with_article(role: Role) -> &'static str {
    match role {
        Role::Member => "a member",
        Role::Viewer => "a viewer",
        Role::Admin => "an admin",
    }
}

async fn write(app: &AppState, admin: Administers, id: UserId, form: &RoleForm) -> ApiResult<UserView> {
    let role = form.role.parse().map_err(|_| Problem::field("/role", "choose one of the list"))?;
    let body = ChangedUser {
        role: Some(role),
        can_use_jit: Some(!form.can_use_jit.is_empty()),
        can_use_registration_token: Some(!form.can_use_registration_token.is_empty()),
        comment: Some(given_reason(&form.comment)?),
        ..ChangedUser::default()
    };
    Ok(change::patch(State(app.clone()), admin, Id(id), Body(body)).await?.0)
}
