//! What GitHub tells us. The only calls without a token: they bear a signature instead.

mod receive;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::AppState;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(receive::receive))
}
