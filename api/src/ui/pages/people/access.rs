//! Deactivation, activation and unbinding of a person.

use axum::{extract::State, response::Response};
use domain::{IncidentKind, User, UserId};
use store::IncidentTarget;

use super::role::person;
use crate::{
    app::AppState,
    routes::admin::users::UserView,
    ui::{
        AdminVisitor, Frame, Section, UiForm, UiResult, Visitor, done,
        pages::{
            input::{Confirmation, PageId},
            preview::{Preview, scope_of, tell},
        },
    },
};

/// Returns a preview of an action on a person, which asks for a reason. `action` is the last part of its path.
pub(super) async fn preview_at(
    app: &AppState,
    visitor: &Visitor,
    id: UserId,
    heading: String,
    action: &str,
) -> Preview {
    let path = format!("/people/{id}");
    let frame = Frame::new(app, visitor, Section::People, heading.clone()).await;
    Preview::new(frame, format!("{heading}?"), format!("{path}/{action}"), path).reason(
        "comment",
        "Reason, for the audit log",
        1,
    )
}

/// Returns a preview of an action on a person. `verb` begins its heading, as in `Deactivate`.
async fn preview_of(app: &AppState, visitor: &Visitor, user: &User, verb: &str) -> Preview {
    let heading = format!("{verb} {}", UserView::from(user.clone()).shown_name());
    preview_at(app, visitor, user.id, heading, &verb.to_ascii_lowercase())
        .await
        .button(format!("{verb} the person"), "Do not")
}

async fn deactivation(app: &AppState, visitor: &Visitor, user: &User) -> UiResult<Preview> {
    let name = UserView::from(user.clone()).shown_name().to_owned();
    let target = IncidentTarget { kind: IncidentKind::User, id: Some(user.id.uuid()), name };
    let preview = preview_of(app, visitor, user, "Deactivate").await.dangerous();
    let preview = preview.says("Sessions, streams and waiting requests of this person end now.");
    let preview = match scope_of(app, &visitor.caller, &target).await? {
        Some(scope) => preview
            .says(format!("{}.", tell(scope.open_jobs, "open request", "is cancelled", "are cancelled")))
            .says(format!("{}.", tell(scope.idle_runners + scope.busy_runners, "runner", "stays", "stay"))),
        None => preview.says("Open requests are cancelled; the runners stay."),
    };
    Ok(preview.says("The account stays for the audit log; you can activate it again."))
}

/// Shows what a deactivation ends.
pub(super) async fn preview_deactivation(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageId(id): PageId<UserId>,
) -> UiResult<Response> {
    deactivation(&app, &visitor, &person(&app, id).await?).await?.show()
}

/// Deactivates a person.
pub(super) async fn deactivate(
    State(app): State<AppState>,
    AdminVisitor { visitor, admin }: AdminVisitor,
    PageId(id): PageId<UserId>,
    UiForm(form): UiForm<Confirmation>,
) -> UiResult<Response> {
    let written = async { app.operations().deactivate_user(&admin, id, Some(&form.reason()?)).await };
    match written.await {
        Ok(user) => Ok(finished(user, "is deactivated.")),
        Err(error) => {
            deactivation(&app, &visitor, &person(&app, id).await?).await?.refuse(error, &form.comment)
        }
    }
}

fn finished(user: User, what: &str) -> Response {
    let (path, view) = (format!("/people/{}", user.id), UserView::from(user));
    done(&path, format!("{} {what}", view.shown_name()))
}

async fn activation(app: &AppState, visitor: &Visitor, user: &User) -> Preview {
    preview_of(app, visitor, user, "Activate")
        .await
        .says("The person gets the former role and teams back and may sign in again.")
        .says("Requests that were cancelled stay cancelled.")
}

/// Shows what an activation restores.
pub(super) async fn preview_activation(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageId(id): PageId<UserId>,
) -> UiResult<Response> {
    activation(&app, &visitor, &person(&app, id).await?).await.show()
}

/// Activates a person again.
pub(super) async fn activate(
    State(app): State<AppState>,
    AdminVisitor { visitor, admin }: AdminVisitor,
    PageId(id): PageId<UserId>,
    UiForm(form): UiForm<Confirmation>,
) -> UiResult<Response> {
    let written = async { app.operations().activate_user(&admin, id, Some(&form.reason()?)).await };
    match written.await {
        Ok(user) => Ok(finished(user, "is active again.")),
        Err(error) => activation(&app, &visitor, &person(&app, id).await?).await.refuse(error, &form.comment),
    }
}

async fn unbinding(app: &AppState, visitor: &Visitor, user: &User) -> Preview {
    preview_of(app, visitor, user, "Unbind")
        .await
        .dangerous()
        .says("The present identity at the identity provider gets no access any more; sessions end.")
        .says("The next sign-in with the verified e-mail address binds a new identity.")
}

/// Shows what an unbinding does.
pub(super) async fn preview_unbinding(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageId(id): PageId<UserId>,
) -> UiResult<Response> {
    unbinding(&app, &visitor, &person(&app, id).await?).await.show()
}

/// Unbinds a person from their identity.
pub(super) async fn unbind(
    State(app): State<AppState>,
    AdminVisitor { visitor, admin }: AdminVisitor,
    PageId(id): PageId<UserId>,
    UiForm(form): UiForm<Confirmation>,
) -> UiResult<Response> {
    let written = async { app.operations().unbind_user(&admin, id, Some(&form.reason()?)).await };
    match written.await {
        Ok(user) => Ok(finished(user, "is unbound; the next sign-in with the e-mail address binds anew.")),
        Err(error) => unbinding(&app, &visitor, &person(&app, id).await?).await.refuse(error, &form.comment),
    }
}
