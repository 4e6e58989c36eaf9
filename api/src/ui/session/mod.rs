//! Sign-in and sign-out: the way from an issuer to a session, and its end.

mod address;
mod callback;
mod choose;
mod end;
mod start;

use super::UiRoutes;

pub(super) use address::safe_return;

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new()
        .get("/sign-in", choose::show)
        .get("/session/start", start::begin)
        .get("/session/callback", callback::finish)
        .post("/session/end", end::end_this)
        .post("/sessions/end-all", end::end_all)
        .post("/sessions/{id}/end", end::end_one)
}
