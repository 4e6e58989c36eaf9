//! Teams.

use axum::{Json, extract::State, http::StatusCode};
use domain::{
    AuditEntry, DriftResponse, FieldError, InstallationId, LabelPattern, MAX_LABELS, MAX_PATTERNS, Problem,
    ProblemCode, Team, TeamId, check_glob, check_label, check_repository_glob,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use store::{TeamChange, TeamDraft, Tx};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{check_optional, check_text, settle, taken};
use crate::{
    app::App,
    body::{Body, Id, Params},
    caller::Admin,
    error::ApiResult,
    openapi::{self, problems},
    origin::From_,
    page::{list_body, list_params},
    views::TeamView,
};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, change))
}

list_params! {
    /// Which teams.
    TeamParams {}
}

list_body! {
    /// A page of teams.
    TeamList { teams: TeamView, by id }
}

problems! {
    CreateProblems: MalformedBody, AdminRequired, AlreadyExists, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
    ListProblems: AdminRequired, ValidationFailed;
    ShowProblems: AdminRequired, NotFound;
    ChangeProblems: MalformedBody, AdminRequired, NotFound, AlreadyExists, TeamInUse, PayloadTooLarge,
        UnsupportedMediaType, ValidationFailed;
}

/// A new team.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTeam {
    /// Unique without case, 1 to 100 characters.
    #[schema(example = "platform")]
    name: String,
    /// What it is.
    description: Option<String>,
    /// Labels every runner gets.
    #[serde(default)]
    required_labels: Vec<String>,
    /// What further labels may be: `*`, `glob:gpu-*`, or a regular expression over the whole label.
    #[serde(default)]
    optional_label_patterns: Vec<String>,
    /// Runner groups it may use; empty means only the default group.
    #[serde(default)]
    allowed_runner_group_ids: Vec<i64>,
    /// Repositories whose jobs may run on its runners: globs of `owner/name`; empty means all.
    #[serde(default)]
    #[schema(example = json!(["octo-org/*"]))]
    allowed_repositories: Vec<String>,
    /// Workflows whose jobs may run on its runners: globs of their names; empty means all.
    #[serde(default)]
    #[schema(example = json!(["CI*"]))]
    allowed_workflows: Vec<String>,
    /// Most runners at a time; null means unlimited.
    max_runners: Option<i32>,
    /// Its weight in the fair queue, above 0 to 100.
    #[serde(default = "one")]
    weight: f64,
    /// What happens to an idle runner whose labels were changed on GitHub.
    #[schema(schema_with = openapi::drift_response)]
    #[serde(default = "delete")]
    drift_response: DriftResponse,
    /// The GitHub installation its runners belong to, by the name the settings give it.
    #[serde(default = "default_installation")]
    installation: String,
}

fn one() -> f64 {
    1.0
}

const fn delete() -> DriftResponse {
    DriftResponse::Delete
}

fn default_installation() -> String {
    "default".to_owned()
}

/// What changes about a team: only what is named; null where null is a value.
#[expect(clippy::option_option, reason = "a field that is not there and a null are two things in a PATCH")]
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ChangedTeam {
    /// Unique without case, 1 to 100 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// What it is.
    #[serde(deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    /// Labels every runner gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    required_labels: Option<Vec<String>>,
    /// What further labels may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    optional_label_patterns: Option<Vec<String>>,
    /// Runner groups it may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_runner_group_ids: Option<Vec<i64>>,
    /// Repositories whose jobs may run on its runners.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_repositories: Option<Vec<String>>,
    /// Workflows whose jobs may run on its runners.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_workflows: Option<Vec<String>>,
    /// Most runners at a time; null means unlimited.
    #[serde(deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i32>)]
    max_runners: Option<Option<i32>>,
    /// Its weight in the fair queue, above 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    /// What happens on label drift.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    drift_response: Option<DriftResponse>,
    /// The GitHub installation its runners belong to. Changed only while it has no live runner and no open job; the runner
    /// groups it may use are that installation's from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    installation: Option<String>,
    /// Switches it off or on.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_active: Option<bool>,
    /// Why it is switched off.
    #[serde(deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    deactivation_reason: Option<Option<String>>,
}

/// Tells a null (`Some(None)`) from a field that is not there (`None`).
#[expect(clippy::option_option, reason = "a field that is not there and a null are two things in a PATCH")]
fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(reader).map(Some)
}

/// Add a team.
#[utoipa::path(
    post, path = "/admin/teams", tag = "admin", request_body = NewTeam,
    responses((status = 201, description = "Added", body = TeamView), CreateProblems),
)]
pub(crate) async fn create(
    State(app): State<App>,
    Admin(caller): Admin,
    From_(origin): From_,
    Body(body): Body<NewTeam>,
) -> ApiResult<(StatusCode, Json<TeamView>)> {
    let installation = configured(&app, &body.installation)?;
    let draft = TeamDraft {
        name: body.name,
        description: body.description,
        required_labels: body.required_labels,
        optional_label_patterns: body.optional_label_patterns,
        allowed_runner_group_ids: body.allowed_runner_group_ids,
        allowed_repositories: body.allowed_repositories,
        allowed_workflows: body.allowed_workflows,
        max_runners: body.max_runners,
        weight: body.weight,
        drift_response: body.drift_response,
        installation,
    };
    check(&draft, None)?;
    let id = TeamId::new();
    let mut tx = app.store.begin().await?;
    tx.installations().ensure(std::slice::from_ref(&draft.installation)).await?;
    tx.teams().insert(id, &draft).await.map_err(taken)?;
    let entry = AuditEntry {
        team: Some(id),
        data: json!({ "name": draft.name, "required_labels": draft.required_labels, "max_runners": draft.max_runners,
            "optional_label_patterns": draft.optional_label_patterns }),
        ..AuditEntry::by(&caller, &origin, "team.create")
    };
    tx.audit().write(&entry).await?;
    let team = get(&mut tx, id).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(team.into())))
}

/// List all teams.
#[utoipa::path(
    get, path = "/admin/teams", tag = "admin", params(TeamParams),
    responses((status = 200, description = "Newest first", body = TeamList), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<App>,
    _: Admin,
    Params(params): Params<TeamParams>,
) -> ApiResult<Json<TeamList>> {
    let page = params.page()?;
    let listed = app.store.read().await?.teams().list(page).await?;
    Ok(Json(TeamList::new(listed, &page)))
}

/// Show a team.
#[utoipa::path(
    get, path = "/admin/teams/{team_id}", tag = "admin", params(("team_id" = Uuid, Path)),
    responses((status = 200, description = "The team", body = TeamView), ShowProblems),
)]
pub(crate) async fn show(State(app): State<App>, _: Admin, Id(id): Id<TeamId>) -> ApiResult<Json<TeamView>> {
    let team = app.store.read().await?.teams().get(id).await?;
    Ok(Json(team.ok_or_else(|| Problem::not_found("team"))?.into()))
}

/// Change a team. Runners it has already keep what they were given.
#[utoipa::path(
    patch, path = "/admin/teams/{team_id}", tag = "admin", params(("team_id" = Uuid, Path)),
    request_body = ChangedTeam,
    responses((status = 200, description = "The team as it is now", body = TeamView), ChangeProblems),
)]
pub(crate) async fn change(
    State(app): State<App>,
    Admin(caller): Admin,
    From_(origin): From_,
    Id(id): Id<TeamId>,
    Body(body): Body<ChangedTeam>,
) -> ApiResult<Json<TeamView>> {
    let data = serde_json::to_value(&body).map_err(|error| crate::error::internal(&error))?;
    let target = body.installation.as_deref().map(|name| configured(&app, name)).transpose()?;
    let mut tx = app.store.begin().await?;
    let before = get(&mut tx, id).await?;
    if let Some(target) = &target
        && *target != before.installation
    {
        leave(&mut tx, id).await?;
        tx.installations().ensure(std::slice::from_ref(target)).await?;
    }
    let mut change = merged(before, body);
    change.draft.installation = target.unwrap_or(change.draft.installation);
    check(&change.draft, change.deactivation_reason.as_deref())?;
    tx.teams().update(id, &change).await.map_err(taken)?;
    let entry = AuditEntry { team: Some(id), data, ..AuditEntry::by(&caller, &origin, "team.update") };
    tx.audit().write(&entry).await?;
    let team = get(&mut tx, id).await?;
    tx.commit().await?;
    Ok(Json(team.into()))
}

/// An installation of this deployment.
pub(super) fn configured(app: &App, name: &str) -> Result<InstallationId, Problem> {
    let id = name.parse().ok().filter(|id| app.installations.contains_key(id));
    id.ok_or_else(|| Problem::field("/installation", "there is none of this name in the settings"))
}

/// A team leaves its installation with nothing left behind there; a request under way right now stays where its rows
/// say.
async fn leave(tx: &mut Tx, id: TeamId) -> ApiResult<()> {
    if tx.teams().in_use(id).await? {
        let detail = "The team has live runners or open jobs where it is; remove them before it moves.";
        return Err(Problem::new(ProblemCode::TeamInUse, detail).into());
    }
    Ok(())
}

async fn get(tx: &mut Tx, id: TeamId) -> ApiResult<Team> {
    Ok(tx.teams().get(id).await?.ok_or_else(|| Problem::not_found("team"))?)
}

fn merged(before: Team, body: ChangedTeam) -> TeamChange {
    let is_active = body.is_active.unwrap_or(before.is_active);
    let reason = body.deactivation_reason.unwrap_or(before.deactivation_reason);
    TeamChange {
        draft: TeamDraft {
            name: body.name.unwrap_or(before.name),
            description: body.description.unwrap_or(before.description),
            required_labels: body.required_labels.unwrap_or(before.required_labels),
            optional_label_patterns: body.optional_label_patterns.unwrap_or(before.optional_label_patterns),
            allowed_runner_group_ids: body
                .allowed_runner_group_ids
                .unwrap_or(before.allowed_runner_group_ids),
            allowed_repositories: body.allowed_repositories.unwrap_or(before.allowed_repositories),
            allowed_workflows: body.allowed_workflows.unwrap_or(before.allowed_workflows),
            max_runners: body.max_runners.unwrap_or(before.max_runners),
            weight: body.weight.unwrap_or(before.weight),
            drift_response: body.drift_response.unwrap_or(before.drift_response),
            installation: before.installation,
        },
        deactivation_reason: reason.filter(|_| !is_active),
        is_active,
    }
}

fn check(draft: &TeamDraft, reason: Option<&str>) -> Result<(), Problem> {
    let mut wrong = Vec::new();
    check_text(&mut wrong, "/name", &draft.name, 100);
    check_optional(&mut wrong, "/description", draft.description.as_deref(), 1000);
    check_optional(&mut wrong, "/deactivation_reason", reason, 500);
    check_policy(&mut wrong, draft);
    check_globs(&mut wrong, "/allowed_repositories", &draft.allowed_repositories, check_repository_glob);
    check_globs(&mut wrong, "/allowed_workflows", &draft.allowed_workflows, check_glob);
    if draft.max_runners.is_some_and(|most| most < 0) {
        wrong.push(FieldError::new("/max_runners", "0 or more; null means unlimited"));
    }
    if !(draft.weight > 0.0 && draft.weight <= 100.0) {
        wrong.push(FieldError::new("/weight", "above 0, at most 100"));
    }
    settle(wrong)
}

fn check_policy(wrong: &mut Vec<FieldError>, draft: &TeamDraft) {
    if draft.required_labels.len() > MAX_LABELS {
        wrong.push(FieldError::new("/required_labels", "at most 100"));
    }
    if draft.optional_label_patterns.len() > MAX_PATTERNS {
        wrong.push(FieldError::new("/optional_label_patterns", "at most 100"));
    }
    if draft.allowed_runner_group_ids.len() > 100 || draft.allowed_runner_group_ids.iter().any(|id| *id < 1) {
        wrong.push(FieldError::new("/allowed_runner_group_ids", "at most 100 positive numbers"));
    }
    for (at, label) in draft.required_labels.iter().enumerate() {
        if let Err(why) = check_label(label) {
            wrong.push(FieldError::new(format!("/required_labels/{at}"), why));
        }
    }
    for (at, pattern) in draft.optional_label_patterns.iter().enumerate() {
        if let Err(why) = LabelPattern::parse(pattern) {
            wrong.push(FieldError::new(format!("/optional_label_patterns/{at}"), why));
        }
    }
}

fn check_globs(
    wrong: &mut Vec<FieldError>,
    pointer: &str,
    globs: &[String],
    check: fn(&str) -> Result<(), &'static str>,
) {
    if globs.len() > MAX_PATTERNS {
        wrong.push(FieldError::new(pointer, "at most 100"));
    }
    for (at, glob) in globs.iter().enumerate() {
        if let Err(why) = check(glob) {
            wrong.push(FieldError::new(format!("{pointer}/{at}"), why));
        }
    }
}
