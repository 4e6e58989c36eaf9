//! Addition and removal of a team's members.

use axum::{extract::State, response::Response};
use domain::{Problem, Team, TeamId, User, UserId};
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    app::AppState,
    routes::admin::users::UserView,
    ui::{
        AdminVisitor, Frame, Section, UiForm, UiResult, Visitor, done,
        pages::{
            input::{PageId, PageIds, PageParams},
            preview::Preview,
        },
    },
};

/// A person to add, as a link or form names them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedPerson {
    /// E-mail address or id.
    person: String,
}

/// The person of a preview.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddedMember {
    user_id: Uuid,
}

async fn team(app: &AppState, id: TeamId) -> UiResult<Team> {
    let team = app.store.conn().await?.teams().basics(id).await?;
    Ok(team.ok_or_else(|| Problem::not_found("team"))?)
}

async fn person(app: &AppState, named: &str) -> UiResult<User> {
    let named = named.trim();
    let mut conn = app.store.conn().await?;
    let user = match named.parse() {
        Ok(id) => conn.users().get(id).await?,
        Err(_) => conn.users().by_email(named).await?,
    };
    let unknown =
        || Problem::field("query:person", "no person with this e-mail address or id; add them under People");
    Ok(user.ok_or_else(unknown)?)
}

async fn frame(app: &AppState, visitor: &Visitor, team: &Team) -> Frame {
    Frame::new(app, visitor, Section::Teams, format!("Members of {}", team.name)).await
}

/// Shows what a new member may do.
pub(super) async fn preview_addition(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageId(id): PageId<TeamId>,
    PageParams(named): PageParams<NamedPerson>,
) -> UiResult<Response> {
    let (team, user) = (team(&app, id).await?, person(&app, &named.person).await?);
    let (id, is_active) = (user.id, user.is_active);
    let name = UserView::from(user).shown_name().to_owned();
    let path = format!("/teams/{}", team.id);
    let preview =
        Preview::new(frame(&app, &visitor, &team).await, format!("Add {name} to {}?", team.name), format!("{path}/members/add"), path)
            .says(format!(
                "{name} may then ask for runners of {} within its policy, sees and removes its runners, and reads its \
                 history.",
                team.name
            ))
            .hidden("user_id", &id)
            .button(format!("Add {name}"), "Do not add");
    let preview = if is_active {
        preview
    } else {
        preview.says("This account is deactivated and gains no access now.")
    };
    preview.show()
}

/// Adds a member.
pub(super) async fn add(
    State(app): State<AppState>,
    AdminVisitor { admin, .. }: AdminVisitor,
    PageId(id): PageId<TeamId>,
    UiForm(form): UiForm<AddedMember>,
) -> UiResult<Response> {
    let (member, added) = app.operations().add_member(&admin, id, UserId::from(form.user_id)).await?;
    let name = UserView::from(member.user).shown_name().to_owned();
    let sentence =
        if added { format!("{name} is a member now.") } else { format!("{name} was a member already.") };
    Ok(done(&format!("/teams/{id}"), sentence))
}

/// Shows what a former member loses.
pub(super) async fn preview_removal(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageIds(id, user): PageIds<TeamId, UserId>,
) -> UiResult<Response> {
    let team = team(&app, id).await?;
    let member = app.store.conn().await?.teams().member(id, user).await?;
    let user = member.ok_or_else(|| Problem::not_found("member"))?.user;
    let is_admin = user.is_admin;
    let user = UserView::from(user);
    let name = user.shown_name();
    let path = format!("/teams/{id}");
    let ends = if is_admin {
        format!("{name} is an admin and keeps open requests and configs of the team.")
    } else {
        format!("Open requests of {name} for the team fail, and configs that were not fetched are shredded.")
    };
    let action = format!("{path}/members/{}/remove", user.id);
    Preview::new(
        frame(&app, &visitor, &team).await,
        format!("Remove {name} from {}?", team.name),
        action,
        path,
    )
    .says(ends)
    .says("The runners stay with the team. You can add the person again at any time.")
    .dangerous()
    .button(format!("Remove {name}"), "Keep the member")
    .show()
}

/// Removes a member.
pub(super) async fn remove(
    State(app): State<AppState>,
    AdminVisitor { admin, .. }: AdminVisitor,
    PageIds(id, user): PageIds<TeamId, UserId>,
) -> UiResult<Response> {
    app.operations().remove_member(&admin, id, user).await?;
    Ok(done(&format!("/teams/{id}"), "The person is no longer a member."))
}
