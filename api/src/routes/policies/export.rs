//! Export of people and teams: `GET /admin/export/teams`.

use axum::extract::State;
use domain::TeamsFile;
use operations::ExportRows;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{app::AppState, caller::SeesAll, error::ApiResult, lists::Listing, openapi::problems};

problems! { ExportProblems: AdminRequired, PayloadTooLarge; }

/// Everything that a file can describe.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Export)]
pub(crate) struct ExportView {
    /// People, teams, members and machine clients.
    pub(crate) file: TeamsFile,
    /// Remarks about what a file cannot describe.
    pub(crate) remarks: Vec<String>,
}

/// Export people and teams as a teams file.
///
/// For admins and viewers. The file can be applied with `POST /admin/apply`.
#[utoipa::path(
    get, path = "/admin/export/teams", tag = "admin",
    responses((status = 200, description = "The file", body = ExportView), ExportProblems),
)]
pub(crate) async fn export(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
) -> ApiResult<Listing<ExportView>> {
    let mut lists = app.lists(&caller).await?;
    let rows = ExportRows::read(&mut lists).await;
    if let Ok(rows) = &rows {
        rows.check_size()?;
    }
    lists.respond(rows, |rows| {
        let export = rows.into_file();
        ExportView { file: export.file, remarks: export.remarks }
    })
}
