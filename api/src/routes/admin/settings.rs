//! Effective settings, without secrets.

use axum::{Json, extract::State};
use runtime::config::EffectiveSetting;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::AppState, caller::SeesAll, openapi::problems};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(settings))
}

/// A setting of the API process.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Setting)]
pub(crate) struct SettingView {
    /// Heading of its section in the documentation.
    pub(crate) section: &'static str,
    /// Name of the environment variable.
    #[schema(example = "SERVICE_PORT")]
    pub(crate) name: &'static str,
    /// Value, `***` if it may hold a secret, or null if there is none.
    pub(crate) value: Option<String>,
    /// Place where it is given: `environment`, `.env`, `file`, or `default` if nowhere.
    #[schema(example = "default")]
    pub(crate) origin: &'static str,
    /// Whether it is a secret.
    pub(crate) is_secret: bool,
    /// Purpose of the setting.
    pub(crate) meaning: &'static str,
}

impl From<&EffectiveSetting> for SettingView {
    fn from(effective: &EffectiveSetting) -> Self {
        Self {
            section: effective.section,
            name: effective.setting.name,
            value: effective.value.clone(),
            origin: effective.origin,
            is_secret: effective.setting.secret,
            meaning: effective.setting.meaning,
        }
    }
}

/// A trusted issuer of tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrustedIssuerView {
    /// The issuer, as in `iss`.
    pub(crate) issuer: String,
    /// Whether an invitation by e-mail may be bound to its users.
    pub(crate) binds_people: bool,
}

/// A configured GitHub installation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConfiguredInstallation {
    /// Name of the installation.
    pub(crate) installation: String,
    /// Runner group of requests that name none.
    pub(crate) default_runner_group_id: i64,
}

/// Settings of the API process that answers. Workers and schedulers may have others.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettingsView {
    /// All settings, in the order of the documentation.
    pub(crate) settings: Vec<SettingView>,
    /// Trusted issuers of tokens.
    pub(crate) issuers: Vec<TrustedIssuerView>,
    /// Configured GitHub installations.
    pub(crate) installations: Vec<ConfiguredInstallation>,
}

problems! { SettingsProblems: AdminRequired; }

/// Show the effective settings, without secrets.
///
/// For admins and viewers. The settings of the replica that answers, each with the place where it is given.
#[utoipa::path(
    get, path = "/admin/settings", tag = "admin",
    responses((status = 200, description = "The settings", body = SettingsView), SettingsProblems),
)]
pub(crate) async fn settings(State(app): State<AppState>, _: SeesAll) -> Json<SettingsView> {
    let issuers = app.verifier.trusted_issuers().map(|issuer| TrustedIssuerView {
        issuer: issuer.to_owned(),
        binds_people: app.verifier.binds_people(issuer),
    });
    let installations = app.installations.iter().map(|(installation, group)| ConfiguredInstallation {
        installation: installation.to_string(),
        default_runner_group_id: *group,
    });
    Json(SettingsView {
        settings: app.settings.iter().map(SettingView::from).collect(),
        issuers: issuers.collect(),
        installations: installations.collect(),
    })
}
