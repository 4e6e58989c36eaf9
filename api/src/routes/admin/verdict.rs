//! State of the service in one sentence.

use axum::{Json, extract::State};
use chrono::Utc;
use domain::{Verdict, VerdictCode, VerdictLevel};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::AppState,
    caller::SeesAll,
    error::ApiResult,
    openapi::{self, problems},
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show))
}

/// State of the service.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Verdict)]
pub(crate) struct VerdictView {
    /// `ok`, `note` (look at something when there is time), `slow` (jobs wait) or `stopped` (jobs do not start).
    #[schema(schema_with = openapi::verdict_level)]
    pub(crate) level: VerdictLevel,
    /// Stable code of the condition that decided.
    #[schema(schema_with = openapi::verdict_code)]
    pub(crate) code: VerdictCode,
    /// The state in one sentence; times are in UTC.
    #[schema(example = "All 32 slots are busy, and the oldest job waits 48 s; more workers would help.")]
    pub(crate) sentence: String,
    /// Path of the call that shows the facts.
    #[schema(example = "/api/v1/admin/workers")]
    pub(crate) link: &'static str,
    /// Security events that no admin has acknowledged; null without any.
    pub(crate) notice: Option<NoticeView>,
}

/// A second sentence, beside the state.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VerdictNotice)]
pub(crate) struct NoticeView {
    /// The sentence.
    pub(crate) sentence: String,
    /// Path of the call that shows the events.
    pub(crate) link: &'static str,
}

impl From<Verdict> for VerdictView {
    fn from(verdict: Verdict) -> Self {
        let notice = |sentence| NoticeView { sentence, link: Verdict::NOTICE_LINK };
        Self {
            level: verdict.level(),
            code: verdict.code,
            sentence: verdict.sentence,
            link: verdict.code.link(),
            notice: verdict.notice.map(notice),
        }
    }
}

problems! { VerdictProblems: AdminRequired; }

/// Show the state of the service in one sentence: why jobs wait, or that they move.
///
/// For admins and viewers. It answers while Redis is away, and then says so.
#[utoipa::path(
    get, path = "/admin/verdict", tag = "admin",
    responses((status = 200, description = "The first condition that holds", body = VerdictView), VerdictProblems),
)]
pub(crate) async fn show(State(app): State<AppState>, _: SeesAll) -> ApiResult<Json<VerdictView>> {
    Ok(Json(app.operations().verdict(Utc::now()).await?.into()))
}
