//! End of all sessions of a person, who may sign in again.

use axum::{extract::State, response::Response};
use domain::{User, UserId};
use operations::Viewer;

use super::role::person;
use crate::{
    app::AppState,
    routes::admin::users::UserView,
    ui::{
        AdminVisitor, Frame, Section, UiForm, UiResult, Visitor, done,
        pages::{
            input::{Confirmation, PageId},
            preview::{Preview, tell},
        },
    },
};

async fn ending(app: &AppState, visitor: &Visitor, user: User) -> UiResult<Preview> {
    let permission = Viewer::from_caller(&visitor.caller)?;
    let open = app.operations().sessions_of(permission, user.id, app.session_idle()).await?.len();
    let path = format!("/people/{}", user.id);
    let heading = format!("Sign {} out everywhere", UserView::from(user).shown_name());
    let frame = Frame::new(app, visitor, Section::People, heading.clone()).await;
    let count = i64::try_from(open).unwrap_or_default();
    Ok(Preview::new(frame, format!("{heading}?"), format!("{path}/end-sessions"), path)
        .reason("comment", "Reason, for the audit log", 1)
        .button("Sign out everywhere", "Do not")
        .says(format!("{}, with all pages and streams.", tell(count, "session", "ends now", "end now")))
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
        Ok(ended) => {
            let count = i64::try_from(ended).unwrap_or_default();
            Ok(done(
                &format!("/people/{id}"),
                format!("{}.", tell(count, "session", "has ended", "have ended")),
            ))
        }
        Err(error) => {
            let user = person(&app, id).await?;
            ending(&app, &visitor, user).await?.refuse(error, &form.comment)
        }
    }
}
