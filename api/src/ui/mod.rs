//! Dashboard: pages for people, drawn by the server, with the same callers and operations as the API.
//!
//! The way of a request: [`same_origin`] → [`visitor`] → `pages/` → the function behind the API's call → [`page`].

mod assets;
mod board;
mod chart;
mod compression;
mod cookies;
mod course;
mod depth;
mod error;
mod form;
mod format;
mod frame;
mod headers;
mod level;
mod live;
mod notice;
mod outlook;
mod pages;
mod random;
mod readable;
mod routes;
mod same_origin;
mod session;
mod snapshot;
mod status;
mod visitor;

use askama::Template;
use axum::{
    Router, middleware,
    response::{Html, IntoResponse, Response},
};

pub(crate) use error::{UiError, UiResult};
pub(crate) use form::UiForm;
pub(crate) use frame::{Frame, Section};
pub(crate) use live::Live;
pub(crate) use notice::done;
pub(crate) use outlook::Outlook;
pub(crate) use readable::readable_problems;
pub(crate) use routes::UiRoutes;
pub(crate) use snapshot::Snapshots;
pub(crate) use visitor::{AdminVisitor, OverseeingVisitor, SignedIn, StreamVisitor, Visitor};

use crate::app::AppState;

fn routes() -> UiRoutes {
    UiRoutes::new()
        .merge(assets::routes())
        .merge(session::routes())
        .merge(live::routes())
        .merge(pages::routes())
}

/// Returns the router of the dashboard.
pub(crate) fn router(app: &AppState) -> Router<AppState> {
    routes()
        .into_router()
        .layer(middleware::from_fn_with_state(app.clone(), same_origin::middleware))
        .layer(middleware::from_fn(headers::middleware))
}

/// Returns method and path of every route of the dashboard.
pub fn dashboard_routes() -> Vec<(&'static str, &'static str)> {
    routes().into_list()
}

/// Marker of a response that is a whole page: it shows the notice, and the browser may get it compressed.
#[derive(Clone, Copy, Debug)]
struct WholePage;

/// Returns a whole page.
pub(crate) fn page(template: &impl Template) -> UiResult<Response> {
    let html = template.render().map_err(|error| {
        tracing::error!(%error, "page could not be drawn");
        domain::Problem::new(domain::ProblemCode::InternalError, "Internal error; it has been logged.")
    })?;
    let mut response = Html(html).into_response();
    response.extensions_mut().insert(WholePage);
    Ok(response)
}
