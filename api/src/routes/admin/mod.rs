//! Administration. Every handler here takes [`Admin`](crate::caller::Admin), and every change is written down.

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

use domain::{FieldError, Problem, ProblemCode};
use store::StoreError;
use utoipa_axum::router::OpenApiRouter;

use crate::{app::App, error::ApiError};

pub(crate) fn router() -> OpenApiRouter<App> {
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

/// A broken unique constraint, told by the value that broke it.
fn taken(error: StoreError) -> ApiError {
    let pointer = match error.constraint() {
        Some("teams_name_key") => "/name",
        Some("users_email_key") => "/email",
        Some("users_identity_key") => "/oidc_sub",
        Some("oauth_clients_client_key") => "/client_id",
        _ => return error.into(),
    };
    Problem::new(ProblemCode::AlreadyExists, "One with this value exists already.")
        .with_errors(vec![FieldError::new(pointer, "taken")])
        .into()
}

/// A text of 1 to `most` characters without control characters.
fn check_text(wrong: &mut Vec<FieldError>, pointer: &str, text: &str, most: usize) {
    let length = text.chars().count();
    if length == 0 || length > most || text.chars().any(char::is_control) || text.trim() != text {
        wrong.push(FieldError::new(
            pointer,
            format!("1 to {most} printable characters, no space at either end"),
        ));
    }
}

/// The same for a text that may be missing.
fn check_optional(wrong: &mut Vec<FieldError>, pointer: &str, text: Option<&str>, most: usize) {
    if let Some(text) = text {
        check_text(wrong, pointer, text, most);
    }
}

/// Nothing wrong, or all of it.
fn settle(wrong: Vec<FieldError>) -> Result<(), Problem> {
    if wrong.is_empty() { Ok(()) } else { Err(Problem::invalid(wrong)) }
}
