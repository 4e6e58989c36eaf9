//! Routes of the dashboard, with a list of them for the authorization matrix.

use axum::{
    Router,
    handler::Handler,
    routing::{get, post},
};

use crate::app::AppState;

/// Routes under construction. Only GET and POST exist: forms know no other method.
#[derive(Default)]
pub(crate) struct UiRoutes {
    router: Router<AppState>,
    listed: Vec<(&'static str, &'static str)>,
}

impl UiRoutes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a page. It changes nothing.
    pub(crate) fn get<H, T>(mut self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        self.listed.push(("GET", path));
        Self { router: self.router.route(path, get(handler)), ..self }
    }

    /// Adds an action of a form.
    pub(crate) fn post<H, T>(mut self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        self.listed.push(("POST", path));
        Self { router: self.router.route(path, post(handler)), ..self }
    }

    /// Adds all routes of `other`.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.listed.extend(other.listed);
        Self { router: self.router.merge(other.router), ..self }
    }

    pub(super) fn into_router(self) -> Router<AppState> {
        self.router
    }

    pub(super) fn into_list(self) -> Vec<(&'static str, &'static str)> {
        self.listed
    }
}
