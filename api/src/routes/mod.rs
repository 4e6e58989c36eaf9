//! Routes of the API, merged from one router per noun.

use utoipa_axum::router::OpenApiRouter;

pub(crate) use self::policies::{serve_schema, teams_schema};
use crate::app::AppState;

mod admin;
mod audit;
mod auth;
mod jobs;
mod policies;
mod runners;
mod teams;
pub(crate) mod webhooks;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(runners::router())
        .merge(jobs::router())
        .merge(auth::router())
        .merge(teams::router())
        .merge(audit::router())
        .merge(admin::router())
        .merge(policies::router())
        .merge(webhooks::router())
}
