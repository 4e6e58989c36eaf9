//! Deactivation and activation of teams.

use axum::{extract::State, response::Response};
use domain::{IncidentKind, Problem, Team, TeamId};
use serde::Deserialize;
use store::IncidentTarget;

use crate::{
    app::AppState,
    ui::{
        AdminVisitor, Frame, Section, UiForm, UiResult, Visitor, done,
        pages::{
            input::PageId,
            preview::{Preview, scope_of, tell},
        },
    },
};

/// Confirmation of a deactivation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deactivation {
    reason: String,
    /// Name of the team, typed.
    typed: String,
}

async fn team(app: &AppState, id: TeamId) -> UiResult<Team> {
    let team = app.store.conn().await?.teams().get(id).await?;
    Ok(team.ok_or_else(|| Problem::not_found("team"))?)
}

async fn preview(app: &AppState, visitor: &Visitor, team: &Team) -> UiResult<Preview> {
    let target =
        IncidentTarget { kind: IncidentKind::Team, id: Some(team.id.uuid()), name: team.name.clone() };
    let title = format!("Deactivate {}", team.name);
    let (path, frame) =
        (format!("/teams/{}", team.id), Frame::new(app, visitor, Section::Teams, title).await);
    let preview =
        Preview::new(frame, format!("Deactivate {}?", team.name), format!("{path}/deactivate"), path)
            .says("New requests are refused at once, and its machine clients may no longer act.");
    let preview = match scope_of(app, &visitor.caller, &target).await? {
        Some(scope) => preview
            .says(format!("{}.", tell(scope.open_jobs, "open request", "is cancelled", "are cancelled")))
            .says(format!(
                "{}.",
                tell(
                    scope.configs,
                    "config",
                    "that was not fetched is shredded",
                    "that were not fetched are shredded"
                )
            ))
            .says(format!(
                "{}, of which {} a workflow job. Its members still see and remove them.",
                tell(scope.idle_runners + scope.busy_runners, "runner", "stays", "stay"),
                tell(scope.busy_runners, "runner", "runs", "run"),
            )),
        None => preview.says(
            "Its open requests are cancelled, its unfetched configs are shredded, and its runners stay.",
        ),
    };
    Ok(preview
        .says(format!(
            "{}; its machine clients keep theirs.",
            tell(team.member_count, "member", "keeps the account", "keep their accounts")
        ))
        .reason("reason", "Reason, which the team's members see", 1)
        .typed(team.name.clone())
        .dangerous()
        .button("Deactivate the team", "Keep the team active"))
}

/// Shows what a deactivation ends.
pub(super) async fn preview_deactivation(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageId(id): PageId<TeamId>,
) -> UiResult<Response> {
    preview(&app, &visitor, &team(&app, id).await?).await?.show()
}

/// Deactivates a team.
pub(super) async fn deactivate(
    State(app): State<AppState>,
    AdminVisitor { visitor, admin }: AdminVisitor,
    PageId(id): PageId<TeamId>,
    UiForm(form): UiForm<Deactivation>,
) -> UiResult<Response> {
    let team = team(&app, id).await?;
    if form.typed.trim() != team.name {
        let problem = Problem::field("/typed", "type the name of the team; nothing was changed");
        return preview(&app, &visitor, &team).await?.refuse(problem, &form.reason);
    }
    match app.operations().deactivate_team(&admin, id, form.reason.trim()).await {
        Ok(team) => Ok(done(&format!("/teams/{id}"), format!("The team {} is deactivated.", team.name))),
        Err(error) => preview(&app, &visitor, &team).await?.refuse(error, &form.reason),
    }
}

/// Shows what an activation restores.
pub(super) async fn preview_reactivation(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageId(id): PageId<TeamId>,
) -> UiResult<Response> {
    let team = team(&app, id).await?;
    let title = format!("Activate {}", team.name);
    let (path, frame) = (format!("/teams/{id}"), Frame::new(&app, &visitor, Section::Teams, title).await);
    Preview::new(frame, format!("Activate {} again?", team.name), format!("{path}/reactivate"), path)
        .says("Its members and machine clients may ask for runners again.")
        .says("Requests that were cancelled stay cancelled.")
        .button("Activate the team", "Keep it deactivated")
        .show()
}

/// Activates a team again.
pub(super) async fn reactivate(
    State(app): State<AppState>,
    AdminVisitor { admin, .. }: AdminVisitor,
    PageId(id): PageId<TeamId>,
) -> UiResult<Response> {
    let team = app.operations().reactivate_team(&admin, id).await?;
    Ok(done(&format!("/teams/{id}"), format!("The team {} is active again.", team.name)))
}
