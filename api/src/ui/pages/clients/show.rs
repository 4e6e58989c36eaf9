//! One machine client.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{ClientId, MachineClient, Problem};

use crate::{
    app::AppState,
    routes::admin::clients::view::ClientView,
    ui::{
        Frame, OverseeingVisitor, Section, UiResult, page,
        pages::{audit::readable, input::PageId},
    },
};

/// A machine client.
#[derive(Template)]
#[template(path = "client.html")]
struct ClientPage {
    frame: Frame,
    client: ClientView,
    team_name: String,
}

impl ClientPage {
    /// Returns the claims of its rule as people read them.
    fn claims(&self) -> Vec<(String, String)> {
        let claims = self.client.rule.iter().flat_map(|rule| &rule.claims);
        claims.map(|(name, value)| (name.clone(), readable(value))).collect()
    }
}

pub(super) async fn read(app: &AppState, id: ClientId) -> UiResult<MachineClient> {
    let client = app.store.conn().await?.clients().get(id).await?;
    Ok(client.ok_or_else(|| Problem::not_found("machine client"))?)
}

/// Shows a machine client.
pub(super) async fn show(
    State(app): State<AppState>,
    OverseeingVisitor(visitor): OverseeingVisitor,
    PageId(id): PageId<ClientId>,
) -> UiResult<Response> {
    let client = read(&app, id).await?;
    let team = app.store.conn().await?.teams().basics(client.team).await?;
    page(&ClientPage {
        frame: Frame::new(&app, &visitor, Section::Clients, client.client_id.clone()).await,
        team_name: team.map_or_else(|| client.team.to_string(), |team| team.name),
        client: client.into(),
    })
}
