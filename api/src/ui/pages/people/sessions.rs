//! End of all sessions of a person, who may sign in again.

use axum::{extract::State, response::Response};
use domain::{User, UserId};
use operations::Viewer;

use super::{access::preview_at, role::person};
use crate::{
    app::AppState,
    routes::admin::users::UserView,
    ui::{
        AdminVisitor, UiForm, UiResult, Visitor, done,
        pages::{
            input::{Confirmation, PageId},
            preview::{Preview, tell},
        },
    },
};

async fn ending(app: &AppState, visitor: &Visitor, user: User) -> UiResult<Preview> {
    let permission = Viewer::from_caller(&visitor.caller)?;
    let open = app.operations().sessions_of(permission, user.id, app.session_idle()).await?.len();
    let id = user.id;
    let heading = format!("Sign {} out everywhere", UserView::from(user).shown_name());
    Ok(preview_at(app, visitor, id, heading, "end-sessions")
        .await
        .button("Sign out everywhere", "Do not")
        .says(format!("{}, with all pages and streams.", tell(open, "session", "ends now", "end now")))
        .says("The person keeps role and teams and may sign in again; deactivate the person to prevent that.")
        .says("Tokens that their command line or scripts hold stay valid until they expire."))
}

/// Shows which sessions end.
pub(super) async fn preview(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageId(id): PageId<UserId>,
) -> UiResult<Response> {
    ending(&app, &visitor, person(&app, id).await?).await?.show()
}

/// Ends all sessions of a person.
pub(super) async fn end_all(
    State(app): State<AppState>,
    AdminVisitor { visitor, admin }: AdminVisitor,
    PageId(id): PageId<UserId>,
    UiForm(form): UiForm<Confirmation>,
) -> UiResult<Response> {
    let written = async {
        let reason = form.reason()?;
        app.operations().end_sessions_of(&admin, id, app.session_idle(), Some(&reason)).await
    };
    match written.await {
        Ok(ended) => Ok(done(
            &format!("/people/{id}"),
            format!("{}.", tell(ended, "session", "has ended", "have ended")),
        )),
        Err(error) => {
            let user = person(&app, id).await?;
            ending(&app, &visitor, user).await?.refuse(error, &form.comment)
        }
    }
}
