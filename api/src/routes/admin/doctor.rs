//! Checks of the servers and processes behind the API.

use axum::{Json, extract::State};
use chrono::Utc;
use operations::doctor::{self, Finding, Level};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::AppState, caller::SeesAll, openapi::problems};

/// Checks that need the App's key, the settings of other processes, or a caller's token.
const ONLY_ON_SERVER: &[&str] = &["settings", "files", "github"];

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show))
}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = FindingLevel)]
pub(crate) enum LevelView {
    /// As it should be.
    Ok,
    /// The service works, but not as well or as safely as it could.
    Warn,
    /// A part of the service does not work.
    Fail,
}

/// Result of one check.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Finding)]
pub(crate) struct FindingView {
    /// Group of the check, such as `postgres` or `processes`.
    pub(crate) group: &'static str,
    /// How serious it is.
    pub(crate) level: LevelView,
    /// Finding, as a sentence without its full stop.
    pub(crate) detail: String,
    /// Sentence that says what to do; null if the level is `ok`.
    pub(crate) repair: Option<String>,
}

/// Results of all checks that the API can make.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DoctorReport {
    /// The worst level of all findings.
    pub(crate) level: LevelView,
    /// Findings, in the order in which they were made.
    pub(crate) findings: Vec<FindingView>,
    /// Groups that only `rts doctor` on the server's command line checks, since they need its files and the App's key.
    pub(crate) only_on_server: Vec<&'static str>,
}

impl From<Level> for LevelView {
    fn from(level: Level) -> Self {
        match level {
            Level::Ok => Self::Ok,
            Level::Warn => Self::Warn,
            Level::Fail => Self::Fail,
        }
    }
}

impl From<Finding> for FindingView {
    fn from(finding: Finding) -> Self {
        let Finding { group, level, detail, repair } = finding;
        Self { group, level: level.into(), detail, repair }
    }
}

problems! { DoctorProblems: AdminRequired; }

/// Check clocks, database, queue, issuers, webhooks and processes.
///
/// For admins and viewers. Every finding that is not `ok` has the sentence that repairs it. `rts doctor` on the server
/// also checks settings, files and GitHub.
#[utoipa::path(
    get, path = "/admin/doctor", tag = "admin",
    responses((status = 200, description = "All findings", body = DoctorReport), DoctorProblems),
)]
pub(crate) async fn show(State(app): State<AppState>, _: SeesAll) -> Json<DoctorReport> {
    let mut findings = doctor::examine(&app.store, &app.queue, Utc::now).await;
    findings.extend(app.verifier.issuers().map(|(name, usable)| judge_issuer(name, usable)));
    findings.push(judge_webhooks(!app.webhook_secrets.is_empty()));
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    Json(DoctorReport {
        level: worst.into(),
        findings: findings.into_iter().map(FindingView::from).collect(),
        only_on_server: ONLY_ON_SERVER.to_vec(),
    })
}

fn judge_issuer(name: &str, usable: bool) -> Finding {
    if usable {
        return Finding::ok("issuers", format!("the keys of the issuer {name} are known"));
    }
    let repair = "Run `rts doctor --only issuers` on the server: it says why they cannot be fetched.";
    Finding::fail("issuers", format!("the keys of the issuer {name} are not known"), repair)
}

fn judge_webhooks(secret_is_set: bool) -> Finding {
    if secret_is_set {
        return Finding::ok("webhooks", "webhooks are accepted");
    }
    let repair = "Set GITHUB_WEBHOOK_SECRET and the App's webhook. Without webhooks, changes are seen at the next sync run.";
    Finding::warn("webhooks", "no webhook secret is set", repair)
}
