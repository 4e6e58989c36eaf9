//! Administration. Every handler takes a permission of [`caller`](crate::caller), and every change writes an audit row.

pub(crate) mod audit_export;
pub(crate) mod batch;
pub(crate) mod budget;
pub(crate) mod budget_pools;
pub(crate) mod clients;
pub(crate) mod doctor;
pub(crate) mod event_deliveries;
pub(crate) mod failures;
pub(crate) mod flow;
pub(crate) mod incidents;
pub(crate) mod members;
pub(crate) mod pauses;
pub(crate) mod queues;
pub(crate) mod security;
pub(crate) mod settings;
pub(crate) mod stats;
pub(crate) mod sync;
pub(crate) mod team_logs;
pub(crate) mod teams;
pub(crate) mod users;
pub(crate) mod verdict;
pub(crate) mod versions;
pub(crate) mod workers;

use domain::FieldError;
use operations::check_text;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

pub(super) use self::{
    teams::{TeamView, configured_installation},
    users::draft_of_person,
};
use crate::{app::AppState, body::Body};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(teams::router())
        .merge(members::router())
        .merge(team_logs::router())
        .merge(users::router())
        .merge(clients::router())
        .merge(security::router())
        .merge(event_deliveries::router())
        .merge(audit_export::router())
        .merge(batch::router())
        .merge(incidents::router())
        .merge(sync::router())
        .merge(queues::router())
        .merge(pauses::router())
        .merge(flow::router())
        .merge(failures::router())
        .merge(verdict::router())
        .merge(budget::router())
        .merge(versions::router())
        .merge(workers::router())
        .merge(doctor::router())
        .merge(stats::router())
        .merge(settings::router())
}

/// Reason of an admin's action, for the audit row.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CommentBody)]
pub(crate) struct Comment {
    /// Comment for the audit log, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    comment: Option<String>,
}

impl Comment {
    /// Returns the comment of a body that may be missing.
    fn of(body: Option<Body<Self>>) -> Option<String> {
        body.and_then(|Body(body)| body.comment)
    }
}

/// Reads a null as `Some(None)`. With `default`, an absent member is `None`.
#[expect(clippy::option_option, reason = "an absent member and a null differ in a PATCH")]
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    reader: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(reader).map(Some)
}

/// Checks that an issuer is one of those configured, character by character. Tokens of other issuers are never
/// accepted.
pub(super) fn check_issuer(app: &AppState, wrong: &mut Vec<FieldError>, issuer: &str) {
    check_text(wrong, "/issuer", issuer, 500);
    if !app.verifier.trusts(issuer) {
        wrong.push(FieldError::new("/issuer", app.verifier.expected_issuers(issuer)));
    }
}
