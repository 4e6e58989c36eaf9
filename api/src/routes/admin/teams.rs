//! Administration of teams.

pub(crate) mod view;

use axum::{Json, extract::State, http::StatusCode};
use domain::{DriftResponse, InstallationId, Problem, Team, TeamId, find_overlaps};
use operations::{TeamChange, TeamReader};
use serde::Deserialize;
use store::{TeamDraft, TeamFilter};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use self::view::TeamView;
use super::nullable;
use crate::{
    app::AppState,
    body::{Body, Id, Params},
    caller::{Administers, ReadsTeams},
    error::ApiResult,
    filters::name_search,
    lists::Listing,
    openapi::{self, problems},
    page::{list_body, list_params, only_active},
    warning::Warning,
};

/// Maximum number of warnings in one response.
const MAX_WARNINGS: usize = 20;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, change))
        .routes(routes!(deactivate))
        .routes(routes!(reactivate))
}

list_params! {
    /// Filters of the list of teams.
    TeamParams {
        /// Only active teams.
        active_only: bool = bool,
        /// The opposite of `active_only`.
        include_inactive: bool = bool,
        /// Only with this text in name or description; 1 to 100 characters, in any case.
        q: String = String,
    }
}

list_body! {
    /// A page of teams.
    TeamList { teams: TeamView }
}

problems! {
    CreateProblems: MalformedBody, AdminRequired, AlreadyExists, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
    ListProblems: AdminRequired, ValidationFailed;
    ShowProblems: AdminRequired, NotFound;
    DeactivateProblems: MalformedBody, AdminRequired, NotFound, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
    ChangeProblems: MalformedBody, AdminRequired, NotFound, AlreadyExists, TeamInUse, PayloadTooLarge,
        UnsupportedMediaType, ValidationFailed;
}

/// A new team.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTeam {
    /// Unique name of 2 to 50 lower-case letters, digits and hyphens. It begins and ends with a letter or digit.
    #[schema(example = "platform", min_length = 2, max_length = 50)]
    pub(crate) name: String,
    /// Free text about the team.
    pub(crate) description: Option<String>,
    /// Labels that every runner gets.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub(crate) required_labels: Vec<String>,
    /// Patterns of further labels: `*`, `glob:gpu-*`, or a regular expression over the whole label.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub(crate) optional_label_patterns: Vec<String>,
    /// Whether every runner gets the label `self-hosted`. GitHub adds no label to a runner with a JIT config.
    #[serde(default = "default_true")]
    pub(crate) add_self_hosted: bool,
    /// Runner groups that the team may use; empty means only the default group.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub(crate) allowed_runner_group_ids: Vec<i64>,
    /// Repositories whose jobs may run on its runners: globs of `owner/name`; empty means all.
    #[serde(default)]
    #[schema(max_items = 100, example = json!(["octo-org/*"]))]
    pub(crate) allowed_repositories: Vec<String>,
    /// Workflows whose jobs may run on its runners: globs of their names; empty means all.
    #[serde(default)]
    #[schema(max_items = 100, example = json!(["CI*"]))]
    pub(crate) allowed_workflows: Vec<String>,
    /// Maximum number of runners at a time; null means unlimited.
    #[schema(minimum = 0)]
    pub(crate) max_runners: Option<i32>,
    /// Weight in the fair queue, above 0 and at most 100.
    #[serde(default = "default_weight")]
    #[schema(exclusive_minimum = 0, maximum = 100)]
    pub(crate) weight: f64,
    /// Reaction to label drift of an idle runner.
    #[schema(schema_with = openapi::drift_response)]
    #[serde(default = "default_drift_response")]
    pub(crate) drift_response: DriftResponse,
    /// The GitHub installation of its runners, by its name in the settings.
    #[serde(default = "default_installation")]
    #[schema(min_length = 1, max_length = 40)]
    pub(crate) installation: String,
}

const fn default_true() -> bool {
    true
}

fn default_weight() -> f64 {
    1.0
}

const fn default_drift_response() -> DriftResponse {
    DriftResponse::Delete
}

fn default_installation() -> String {
    "default".to_owned()
}

/// Reason of a deactivation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deactivation {
    /// Shown to the team's members; 1 to 500 characters.
    #[schema(example = "moved to platform", min_length = 1, max_length = 500)]
    pub(crate) reason: String,
}

/// Changes of a team. Members that are not sent keep their values; a null clears a value that may be null.
#[expect(clippy::option_option, reason = "an absent member and a null differ in a PATCH")]
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ChangedTeam {
    /// Unique name of 2 to 50 lower-case letters, digits and hyphens. It begins and ends with a letter or digit.
    #[schema(min_length = 2, max_length = 50)]
    pub(crate) name: Option<String>,
    /// Free text about the team.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub(crate) description: Option<Option<String>>,
    /// Labels that every runner gets.
    pub(crate) required_labels: Option<Vec<String>>,
    /// Patterns of further labels.
    pub(crate) optional_label_patterns: Option<Vec<String>>,
    /// Whether every runner gets the label `self-hosted`.
    pub(crate) add_self_hosted: Option<bool>,
    /// Runner groups that the team may use.
    pub(crate) allowed_runner_group_ids: Option<Vec<i64>>,
    /// Repositories whose jobs may run on its runners.
    pub(crate) allowed_repositories: Option<Vec<String>>,
    /// Workflows whose jobs may run on its runners.
    pub(crate) allowed_workflows: Option<Vec<String>>,
    /// Maximum number of runners at a time; null means unlimited.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>, minimum = 0)]
    pub(crate) max_runners: Option<Option<i32>>,
    /// Weight in the fair queue, above 0 and at most 100.
    #[schema(exclusive_minimum = 0, maximum = 100)]
    pub(crate) weight: Option<f64>,
    /// Reaction to label drift of an idle runner.
    #[schema(schema_with = openapi::drift_response_or_null)]
    pub(crate) drift_response: Option<DriftResponse>,
    /// The GitHub installation of its runners. It changes only while the team has no live runner and no open job. Send
    /// `allowed_runner_group_ids` with it unless they are empty, because groups belong to an installation.
    #[schema(min_length = 1, max_length = 40)]
    pub(crate) installation: Option<String>,
    /// Whether the team is active.
    pub(crate) is_active: Option<bool>,
    /// Reason of the deactivation.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 500)]
    pub(crate) deactivation_reason: Option<Option<String>>,
}

impl NewTeam {
    /// Returns the draft of the team.
    ///
    /// # Errors
    /// `validation_failed` at `/installation` if it is not configured.
    pub(crate) fn into_draft(self, app: &AppState) -> Result<TeamDraft, Problem> {
        Ok(TeamDraft {
            installation: configured_installation(app, &self.installation)?,
            name: self.name,
            description: self.description,
            required_labels: self.required_labels,
            optional_label_patterns: self.optional_label_patterns,
            add_self_hosted: self.add_self_hosted,
            allowed_runner_group_ids: self.allowed_runner_group_ids,
            allowed_repositories: self.allowed_repositories,
            allowed_workflows: self.allowed_workflows,
            max_runners: self.max_runners,
            weight: self.weight,
            drift_response: self.drift_response,
        })
    }
}

/// Add a team.
///
/// For admins. `warnings` in the response name labels that another team also requires.
#[utoipa::path(
    post, path = "/admin/teams", tag = "admin", request_body = NewTeam,
    responses((status = 201, description = "Added", body = TeamView), CreateProblems),
)]
pub(crate) async fn create(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Body(body): Body<NewTeam>,
) -> ApiResult<(StatusCode, Json<TeamView>)> {
    let draft = body.into_draft(&app)?;
    let team = app.operations().create_team(&admin, &draft).await?;
    Ok((StatusCode::CREATED, Json(with_warnings(&app, team).await?)))
}

/// List teams: all for admins, their own for other users.
///
/// Newest first. The list includes deactivated teams unless `active_only` is true.
#[utoipa::path(
    get, path = "/admin/teams", tag = "admin", params(TeamParams),
    responses((status = 200, description = "Newest first", body = TeamList), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    ReadsTeams(caller): ReadsTeams,
    Params(params): Params<TeamParams>,
) -> ApiResult<Listing<TeamList>> {
    let page = params.page()?;
    let filter = TeamFilter {
        active_only: only_active(params.active_only, params.include_inactive)?,
        search: name_search(params.q.as_deref())?,
        only: (!caller.sees_everything()).then(|| caller.teams.iter().map(|team| team.id).collect()),
    };
    let mut lists = app.lists(&caller).await?;
    let listed = lists.teams().list(&filter, page).await;
    lists.respond(listed, TeamList::new)
}

/// Show a team: any team for admins, their own teams for other users.
///
/// With policy, counts, and the reason if it is deactivated.
#[utoipa::path(
    get, path = "/admin/teams/{team_id}", tag = "admin", params(("team_id" = Uuid, Path)),
    responses((status = 200, description = "The team", body = TeamView), ShowProblems),
)]
pub(crate) async fn show(
    State(app): State<AppState>,
    ReadsTeams(caller): ReadsTeams,
    Id(id): Id<TeamId>,
) -> ApiResult<Json<TeamView>> {
    let team = app.store.conn().await?.teams().get(id).await?;
    Ok(Json(TeamReader::from_caller(&caller, team)?.into_team().into()))
}

/// Change a team. Existing runners do not change.
///
/// Only the members sent change. A change of `installation` needs a team without live runners and open jobs.
#[utoipa::path(
    patch, path = "/admin/teams/{team_id}", tag = "admin", params(("team_id" = Uuid, Path)),
    request_body = ChangedTeam,
    responses((status = 200, description = "The updated team", body = TeamView), ChangeProblems),
)]
pub(crate) async fn change(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(id): Id<TeamId>,
    Body(body): Body<ChangedTeam>,
) -> ApiResult<Json<TeamView>> {
    let installation =
        body.installation.as_deref().map(|name| configured_installation(&app, name)).transpose()?;
    let change = TeamChange {
        name: body.name,
        description: body.description,
        required_labels: body.required_labels,
        optional_label_patterns: body.optional_label_patterns,
        add_self_hosted: body.add_self_hosted,
        allowed_runner_group_ids: body.allowed_runner_group_ids,
        allowed_repositories: body.allowed_repositories,
        allowed_workflows: body.allowed_workflows,
        max_runners: body.max_runners,
        weight: body.weight,
        drift_response: body.drift_response,
        installation,
        is_active: body.is_active,
        deactivation_reason: body.deactivation_reason,
    };
    let team = app.operations().change_team(&admin, id, change).await?;
    Ok(Json(with_warnings(&app, team).await?))
}

/// Deactivate a team.
///
/// The team gets no more runners: open requests are cancelled, unread configs are shredded, and its machine clients may
/// no longer act. Its members still see and remove its runners, which stay.
#[utoipa::path(
    post, path = "/admin/teams/{team_id}/deactivate", tag = "admin", params(("team_id" = Uuid, Path)),
    request_body = Deactivation,
    responses((status = 200, description = "The updated team", body = TeamView), DeactivateProblems),
)]
pub(crate) async fn deactivate(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(id): Id<TeamId>,
    Body(body): Body<Deactivation>,
) -> ApiResult<Json<TeamView>> {
    Ok(Json(app.operations().deactivate_team(&admin, id, &body.reason).await?.into()))
}

/// Activate a team again.
///
/// Its machine clients work again. Requests that were cancelled stay cancelled.
#[utoipa::path(
    post, path = "/admin/teams/{team_id}/reactivate", tag = "admin", params(("team_id" = Uuid, Path)),
    responses((status = 200, description = "The updated team", body = TeamView), ShowProblems),
)]
pub(crate) async fn reactivate(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(id): Id<TeamId>,
) -> ApiResult<Json<TeamView>> {
    Ok(Json(app.operations().reactivate_team(&admin, id).await?.into()))
}

/// Returns the team with warnings about its labels.
async fn with_warnings(app: &AppState, team: Team) -> ApiResult<TeamView> {
    let others = app.store.conn().await?.teams().required_by_others(team.id, &team.installation).await?;
    let overlaps = find_overlaps(&team.required_labels, &team.optional_label_patterns, &others);
    let warnings = overlaps.iter().take(MAX_WARNINGS).map(Warning::of_overlap).collect();
    Ok(TeamView { warnings, ..team.into() })
}

/// Returns the installation with this name in the settings.
pub(crate) fn configured_installation(app: &AppState, name: &str) -> Result<InstallationId, Problem> {
    let id = name.parse().ok().filter(|id| app.installations.contains_key(id));
    id.ok_or_else(|| Problem::field("/installation", "no installation with this name is configured"))
}
