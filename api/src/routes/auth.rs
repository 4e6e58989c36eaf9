//! Who am I, and what may I do?

use axum::{Json, extract::State};
use domain::Requester;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    app::AppState,
    body::{Params, filtered_team},
    caller::{Authorised, Known},
    error::ApiResult,
    openapi::problems,
    views::TeamRef,
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(me)).routes(routes!(my_label_policy))
}

/// The caller.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    /// `user` or `client`.
    kind: &'static str,
    /// Our id.
    id: Uuid,
    /// Our id of a person; null for a machine client.
    user_id: Option<Uuid>,
    /// E-mail of a person, as an admin wrote it.
    email: Option<String>,
    /// The subject of your token.
    oidc_sub: String,
    /// `admin` or `member` for people, `machine_client` for machines.
    roles: Vec<&'static str>,
    /// The words by which audit rows name you.
    identity: String,
    /// Name to show.
    display_name: Option<String>,
    /// May administer.
    is_admin: bool,
    /// May have JIT configs.
    can_use_jit: bool,
    /// May have registration tokens, where they are handed out at all.
    can_use_registration_token: bool,
    /// Your teams, by name.
    teams: Vec<TeamRef>,
}

/// What you may ask for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LabelPolicyView {
    /// The team.
    team_id: Uuid,
    /// Its name.
    team_name: String,
    /// Labels every runner gets.
    required_labels: Vec<String>,
    /// What further labels may be: `*`, `glob:gpu-*`, or a regular expression over the whole label.
    optional_label_patterns: Vec<String>,
    /// Every runner gets the label `self-hosted`.
    add_self_hosted: bool,
    /// Runner groups you may use.
    allowed_runner_group_ids: Vec<i64>,
    /// Most runners at a time; null means unlimited.
    max_runners: Option<i32>,
    /// How many there are.
    active_runner_count: i64,
}

/// Which team.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PolicyParams {
    /// Needed by callers who belong to several teams; by id or name, also as `team_id`.
    #[serde(alias = "team_id")]
    team: Option<String>,
}

problems! {
    MeProblems: ;
    PolicyProblems: TeamForbidden, ValidationFailed, TeamRequired;
}

/// Show who you are.
///
/// Identity, permissions and teams as they are now. This call answers a machine client of a deactivated team too.
#[utoipa::path(
    get, path = "/auth/me", tag = "me",
    responses((status = 200, description = "You", body = Me), MeProblems),
)]
pub(crate) async fn me(Known(caller): Known) -> Json<Me> {
    let (kind, id) = match caller.requester {
        Requester::User(id) => ("user", id.uuid()),
        Requester::Client(id) => ("client", id.uuid()),
    };
    let role = match caller.requester {
        Requester::User(_) if caller.is_admin => "admin",
        Requester::User(_) if caller.is_viewer => "viewer",
        Requester::User(_) => "member",
        Requester::Client(_) => "machine_client",
    };
    Json(Me {
        kind,
        id,
        user_id: caller.requester.user().map(Uuid::from),
        email: caller.email,
        oidc_sub: caller.principal.subject,
        roles: vec![role],
        teams: caller.teams.iter().map(TeamRef::from).collect(),
        identity: caller.identity,
        display_name: caller.display_name,
        is_admin: caller.is_admin,
        can_use_jit: caller.can_use_jit,
        can_use_registration_token: caller.can_use_registration_token,
    })
}

/// Show what labels, groups and how many runners your team may have.
///
/// Callers who belong to several teams name one.
#[utoipa::path(
    get, path = "/auth/my-label-policy", tag = "me", params(PolicyParams),
    responses((status = 200, description = "The policy", body = LabelPolicyView), PolicyProblems),
)]
pub(crate) async fn my_label_policy(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
    Params(params): Params<PolicyParams>,
) -> ApiResult<Json<LabelPolicyView>> {
    let id = caller.choose_team(filtered_team(&app, params.team.as_deref()).await?)?;
    let team = app.store.conn().await?.teams().get(id).await?;
    let team = team.ok_or_else(|| domain::Problem::not_found("team"))?;
    let mut groups = team.allowed_runner_group_ids;
    if groups.is_empty() {
        groups.extend(app.provision_rules().default_group(&team.installation).ok());
    }
    Ok(Json(LabelPolicyView {
        team_id: team.id.uuid(),
        team_name: team.name,
        required_labels: team.required_labels,
        optional_label_patterns: team.optional_label_patterns,
        add_self_hosted: team.add_self_hosted,
        allowed_runner_group_ids: groups,
        max_runners: team.max_runners,
        active_runner_count: team.active_runner_count,
    }))
}
