//! Deactivation, activation and removal of a machine client.

use axum::{extract::State, response::Response};
use domain::{ClientId, IncidentKind, MachineClient};
use operations::ClientChange;
use store::IncidentTarget;

use super::show::read;
use crate::{
    app::AppState,
    ui::{
        AdminVisitor, Frame, Section, UiForm, UiResult, Visitor, done,
        pages::{
            input::{Confirmation, PageId},
            preview::{Preview, scope_of, tell},
        },
    },
};

/// Returns a preview of an action on a client. `verb` begins its heading, as in `Remove`.
async fn preview_of(app: &AppState, visitor: &Visitor, client: &MachineClient, verb: &str) -> Preview {
    let heading = format!("{verb} {}", client.client_id);
    let frame = Frame::new(app, visitor, Section::Clients, heading.clone()).await;
    let path = format!("/clients/{}", client.id);
    let action = format!("{path}/{}", verb.to_ascii_lowercase());
    Preview::new(frame, format!("{heading}?"), action, path)
        .reason("comment", "Reason, for the audit log", 1)
        .button(format!("{verb} the machine client"), "Do not")
}

/// Returns a preview of an action after which the client may no longer act.
async fn ending(app: &AppState, visitor: &Visitor, client: &MachineClient, verb: &str) -> UiResult<Preview> {
    let target = IncidentTarget {
        kind: IncidentKind::Client,
        id: Some(client.id.uuid()),
        name: client.client_id.clone(),
    };
    let preview = preview_of(app, visitor, client, verb).await.dangerous();
    let preview = preview.says("It may no longer act; its streams and waiting requests end.");
    Ok(match scope_of(app, &visitor.caller, &target).await? {
        Some(scope) => preview
            .says(format!("{}.", tell(scope.open_jobs, "open request", "is cancelled", "are cancelled")))
            .says(format!(
                "{} with the team.",
                tell(scope.idle_runners + scope.busy_runners, "runner", "stays", "stay")
            )),
        None => preview.says("Its open requests are cancelled; its runners stay with the team."),
    })
}

async fn deactivation(app: &AppState, visitor: &Visitor, id: ClientId) -> UiResult<Preview> {
    let preview = ending(app, visitor, &read(app, id).await?, "Deactivate").await?;
    Ok(preview.says("You can activate it again."))
}

async fn activation(app: &AppState, visitor: &Visitor, id: ClientId) -> UiResult<Preview> {
    let preview = preview_of(app, visitor, &read(app, id).await?, "Activate").await;
    Ok(preview.says("It may ask for runners of its team again."))
}

async fn removal(app: &AppState, visitor: &Visitor, id: ClientId) -> UiResult<Preview> {
    let preview = ending(app, visitor, &read(app, id).await?, "Remove").await?;
    Ok(preview.says("It cannot be brought back, and its client id may be used again."))
}

/// Shows what a deactivation ends.
pub(super) async fn preview_deactivation(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageId(id): PageId<ClientId>,
) -> UiResult<Response> {
    deactivation(&app, &visitor, id).await?.show()
}

/// Deactivates a machine client.
pub(super) async fn deactivate(
    State(app): State<AppState>,
    AdminVisitor { visitor, admin }: AdminVisitor,
    PageId(id): PageId<ClientId>,
    UiForm(form): UiForm<Confirmation>,
) -> UiResult<Response> {
    let change = ClientChange { is_active: Some(false), ..ClientChange::default() };
    let written = async { app.operations().change_client(&admin, id, change, Some(&form.reason()?)).await };
    match written.await {
        Ok(client) => Ok(finished(&client, "is deactivated.")),
        Err(error) => deactivation(&app, &visitor, id).await?.refuse(error, &form.comment),
    }
}

fn finished(client: &MachineClient, what: &str) -> Response {
    done(&format!("/clients/{}", client.id), format!("The machine client {} {what}", client.client_id))
}

/// Shows what an activation restores.
pub(super) async fn preview_activation(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageId(id): PageId<ClientId>,
) -> UiResult<Response> {
    activation(&app, &visitor, id).await?.show()
}

/// Activates a machine client again.
pub(super) async fn activate(
    State(app): State<AppState>,
    AdminVisitor { visitor, admin }: AdminVisitor,
    PageId(id): PageId<ClientId>,
    UiForm(form): UiForm<Confirmation>,
) -> UiResult<Response> {
    let change = ClientChange { is_active: Some(true), ..ClientChange::default() };
    let written = async { app.operations().change_client(&admin, id, change, Some(&form.reason()?)).await };
    match written.await {
        Ok(client) => Ok(finished(&client, "is active again.")),
        Err(error) => activation(&app, &visitor, id).await?.refuse(error, &form.comment),
    }
}

/// Shows what a removal ends.
pub(super) async fn preview_removal(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageId(id): PageId<ClientId>,
) -> UiResult<Response> {
    removal(&app, &visitor, id).await?.show()
}

/// Removes a machine client.
pub(super) async fn remove(
    State(app): State<AppState>,
    AdminVisitor { visitor, admin }: AdminVisitor,
    PageId(id): PageId<ClientId>,
    UiForm(form): UiForm<Confirmation>,
) -> UiResult<Response> {
    let written = async { app.operations().remove_client(&admin, id, Some(&form.reason()?)).await };
    match written.await {
        Ok(()) => Ok(done("/clients", "The machine client was removed.")),
        Err(error) => removal(&app, &visitor, id).await?.refuse(error, &form.comment),
    }
}
