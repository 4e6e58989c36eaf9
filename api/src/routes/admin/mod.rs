//! Administration. Every handler here takes a permission of [`caller`](crate::caller), and every change is written down.

mod budget;
mod clients;
mod members;
mod queues;
mod security;
mod sync;
mod teams;
mod users;
mod versions;
mod workers;

use domain::FieldError;
use operations::check_text;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::{app::AppState, body::Body};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(teams::router())
        .merge(members::router())
        .merge(users::router())
        .merge(clients::router())
        .merge(security::router())
        .merge(sync::router())
        .merge(queues::router())
        .merge(budget::router())
        .merge(versions::router())
        .merge(workers::router())
}

/// Why an admin does something; goes into the audit row.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CommentBody)]
pub(super) struct Comment {
    /// For the audit log, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    comment: Option<String>,
}

impl Comment {
    /// The comment of a body that may be missing.
    fn of(body: Option<Body<Self>>) -> Option<String> {
        body.and_then(|Body(body)| body.comment)
    }
}

/// Tells a null (`Some(None)`) from a member that is not there (`None`).
#[expect(clippy::option_option, reason = "a member that is not there and a null are two things in a PATCH")]
fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(reader).map(Some)
}

/// One of the configured issuers, letter for letter: tokens of no other are ever believed.
fn check_issuer(app: &AppState, wrong: &mut Vec<FieldError>, issuer: &str) {
    check_text(wrong, "/issuer", issuer, 500);
    if !app.verifier.trusts(issuer) {
        wrong.push(FieldError::new("/issuer", app.verifier.expected_issuers(issuer)));
    }
}
