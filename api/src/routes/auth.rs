//! Identity and label policy of the caller.

use axum::{Json, extract::State};
use domain::{Membership, Requester};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    app::{AppState, SignIn},
    body::{Params, filtered_team},
    caller::{Authorised, Known},
    error::ApiResult,
    openapi::problems,
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(me)).routes(routes!(my_label_policy)).routes(routes!(sign_in))
}

/// A team of the caller.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TeamRef {
    /// Id of the team.
    pub(crate) id: Uuid,
    /// Name of the team.
    pub(crate) name: String,
    /// Whether the team is active.
    pub(crate) is_active: bool,
}

impl From<&Membership> for TeamRef {
    fn from(team: &Membership) -> Self {
        Self { id: team.id.uuid(), name: team.name.clone(), is_active: team.is_active }
    }
}

/// An issuer at which programs of people sign in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignInIssuer)]
pub(crate) struct SignInView {
    /// Issuer, exactly as in its tokens. Its discovery document has the endpoints.
    pub(crate) issuer: String,
    /// Public client of the command line, with the device flow.
    pub(crate) client_id: String,
    /// Scopes to ask for.
    pub(crate) scopes: Vec<String>,
    /// Audience to ask for.
    pub(crate) audience: Option<String>,
}

/// Issuers at which programs of people sign in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SignInConfig {
    /// Issuers, the default one first; empty if none is configured for the command line.
    pub(crate) issuers: Vec<SignInView>,
    /// Audience for programs that choose the audience of their token, such as workflows of GitHub Actions.
    #[schema(example = "runner-tokens")]
    pub(crate) token_audience: Option<String>,
}

/// Show where programs of people sign in, and the audience for tokens of pipelines.
///
/// Needs no token. `rts`, the shell client and the action read it.
#[utoipa::path(
    get, path = "/auth/config", tag = "auth", security(()),
    responses((status = 200, description = "The issuers", body = SignInConfig)),
)]
pub(crate) async fn sign_in(State(app): State<AppState>) -> Json<SignInConfig> {
    let view = |one: &SignIn| SignInView {
        issuer: one.issuer.clone(),
        client_id: one.client_id.clone(),
        scopes: one.scopes.clone(),
        audience: one.audience.clone(),
    };
    let issuers = app.sign_in.iter().map(view).collect();
    Json(SignInConfig { issuers, token_audience: app.token_audience.clone() })
}

/// The caller.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    /// `user` or `client`.
    pub(crate) kind: &'static str,
    /// Our id.
    pub(crate) id: Uuid,
    /// Our id of a user; null for a machine client.
    pub(crate) user_id: Option<Uuid>,
    /// E-mail of a user, as an admin entered it.
    pub(crate) email: Option<String>,
    /// Subject of the token.
    pub(crate) oidc_sub: String,
    /// `admin`, `viewer` or `member` for users, `machine_client` for machine clients.
    pub(crate) roles: Vec<&'static str>,
    /// Identity of the caller in audit rows.
    pub(crate) identity: String,
    /// Display name.
    pub(crate) display_name: Option<String>,
    /// Whether the caller is an admin.
    pub(crate) is_admin: bool,
    /// Whether the caller may get JIT configs.
    pub(crate) can_use_jit: bool,
    /// Whether the caller may get registration tokens, if these are enabled.
    pub(crate) can_use_registration_token: bool,
    /// Teams of the caller, by name.
    pub(crate) teams: Vec<TeamRef>,
}

/// Label policy and quota of a team.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LabelPolicyView {
    /// The team.
    pub(crate) team_id: Uuid,
    /// Its name.
    pub(crate) team_name: String,
    /// Labels that every runner gets.
    pub(crate) required_labels: Vec<String>,
    /// Patterns of further labels: `*`, `glob:gpu-*`, or a regular expression over the whole label.
    pub(crate) optional_label_patterns: Vec<String>,
    /// Whether every runner gets the label `self-hosted`.
    pub(crate) add_self_hosted: bool,
    /// Runner groups that the team may use.
    pub(crate) allowed_runner_group_ids: Vec<i64>,
    /// Maximum number of runners at a time; null means unlimited.
    pub(crate) max_runners: Option<i32>,
    /// Current number of runners.
    pub(crate) active_runner_count: i64,
}

/// Choice of a team.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PolicyParams {
    /// Required for callers in several teams; by id or name, also as `team_id`.
    #[serde(alias = "team_id")]
    pub(crate) team: Option<String>,
}

problems! {
    MeProblems: ;
    PolicyProblems: TeamForbidden, ValidationFailed, TeamRequired;
}

/// Show the caller.
///
/// Current identity, permissions and teams. A machine client of a deactivated team may make this call too.
#[utoipa::path(
    get, path = "/auth/me", tag = "me",
    responses((status = 200, description = "The caller", body = Me), MeProblems),
)]
pub(crate) async fn me(Known(caller): Known) -> Json<Me> {
    let (kind, id) = match caller.requester {
        Requester::User(id) => ("user", id.uuid()),
        Requester::Client(id) => ("client", id.uuid()),
    };
    let role = caller.role_name();
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

/// Show the label policy of a team: labels, runner groups and maximum number of runners.
///
/// Callers in several teams must name one.
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
