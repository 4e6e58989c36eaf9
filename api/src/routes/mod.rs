//! Routes of the API, merged from one router per noun.

use utoipa_axum::router::OpenApiRouter;

pub(crate) use self::policies::{serve_schema, teams_schema};
use crate::app::AppState;

pub(crate) mod admin;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod jobs;
pub(crate) mod policies;
pub(crate) mod runners;
pub(crate) mod status;
pub(crate) mod teams;
pub(crate) mod tickets;
pub(crate) mod webhooks;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(runners::router())
        .merge(tickets::router())
        .merge(jobs::router())
        .merge(auth::router())
        .merge(teams::router())
        .merge(status::router())
        .merge(audit::router())
        .merge(admin::router())
        .merge(policies::router())
        .merge(webhooks::router())
}
