//! The error of an operation.

use domain::{FieldError, Problem, ProblemCode};
use store::StoreError;

/// Reason why an operation failed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The request is refused; the problem has the reason and the remedy.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// The database failed; a later attempt may succeed.
    #[error(transparent)]
    Store(StoreError),
}

/// Result of an operation.
pub type Result<T, E = OperationError> = std::result::Result<T, E>;

impl From<Problem> for OperationError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<StoreError> for OperationError {
    /// Makes a violated unique constraint a problem that points at the value.
    fn from(error: StoreError) -> Self {
        let pointer = match error.constraint() {
            Some("teams_name_key") => "/name",
            Some("users_email_key") => "/email",
            Some("users_identity_key") => "/oidc_sub",
            Some("oauth_clients_live_key") => "/client_id",
            _ => return Self::Store(error),
        };
        let detail =
            "A resource with this value exists already; choose another value, or change that resource.";
        Problem::new(ProblemCode::AlreadyExists, detail)
            .with_errors(vec![FieldError::new(pointer, "taken")])
            .into()
    }
}
