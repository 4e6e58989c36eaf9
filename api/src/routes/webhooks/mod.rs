//! What GitHub tells us. The only calls without a token: they bear a signature instead.

mod alarm;
mod intake;
mod receive;
mod signature;

use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use alarm::Alarm;
pub(crate) use intake::Intake;

use crate::app::App;

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(receive::receive))
}
