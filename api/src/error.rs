//! Mapping of all errors to problem responses, in one table.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{FieldError, Problem, ProblemCode, error_chain};
use oidc::OidcError;
use operations::OperationError;
use queue::QueueError;
use serde::Serialize;
use store::StoreError;
use utoipa::ToSchema;

use crate::openapi;

/// Error response of a handler.
#[derive(Debug)]
pub(crate) struct ApiError(pub(crate) Problem);

/// An RFC 9457 problem document (`application/problem+json`).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// URN built from the code.
    #[schema(example = "urn:runner-token-service:problem:validation_failed")]
    pub(crate) r#type: String,
    /// Short description of the code.
    #[schema(value_type = String)]
    pub(crate) title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    pub(crate) status: u16,
    /// Stable code for programs.
    #[schema(schema_with = openapi::problem_code)]
    pub(crate) code: &'static str,
    /// Explanation for people.
    pub(crate) detail: String,
    /// Invalid values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<FieldErrorBody>,
}

/// One invalid value.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FieldErrorBody {
    /// A JSON pointer into the body, or `query:name`, `header:name`, `path:name`.
    #[schema(example = "/labels/0")]
    pub(crate) pointer: String,
    /// Reason why the value is invalid.
    pub(crate) detail: String,
}

impl From<&Problem> for ProblemBody {
    fn from(problem: &Problem) -> Self {
        let code = problem.code;
        Self {
            r#type: format!("urn:runner-token-service:problem:{}", code.as_str()),
            title: code.title(),
            status: code.status(),
            code: code.as_str(),
            detail: problem.detail.clone(),
            errors: problem.errors.iter().map(FieldErrorBody::from).collect(),
        }
    }
}

impl From<&FieldError> for FieldErrorBody {
    fn from(error: &FieldError) -> Self {
        Self { pointer: error.pointer.clone(), detail: error.detail.clone() }
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(source) => {
                tracing::warn!(error = %source, "database unavailable");
                Self(
                    Problem::new(
                        ProblemCode::DatabaseUnavailable,
                        "The database is unavailable; try again shortly.",
                    )
                    .retry_after(5),
                )
            }
            // The store has reported the row.
            StoreError::Inconsistent(_) => Problem::newer_version().into(),
            other => internal(&other),
        }
    }
}

impl From<OperationError> for ApiError {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Refused(problem) => problem.into(),
            OperationError::Store(error) => error.into(),
        }
    }
}

impl From<QueueError> for ApiError {
    fn from(error: QueueError) -> Self {
        tracing::warn!(%error, "queue unavailable");
        Self(
            Problem::new(ProblemCode::QueueUnavailable, "The queue is unavailable; try again shortly.")
                .retry_after(5),
        )
    }
}

impl From<domain::SealError> for ApiError {
    fn from(error: domain::SealError) -> Self {
        let domain::SealError::UnknownKey(key_id) = &error else { return internal(&error) };
        metrics::counter!("rts_credential_key_missing_total").increment(1);
        tracing::error!(
            key_id,
            "credential sealed with a key that is not in CREDENTIAL_KEYS; give every api and worker process the same keys"
        );
        let detail = "The config was sealed with a key that this replica does not have; try again shortly.";
        Self(Problem::new(ProblemCode::CredentialKeyMissing, detail).retry_after(5))
    }
}

impl From<OidcError> for ApiError {
    fn from(error: OidcError) -> Self {
        let problem = match error {
            OidcError::KeysUnavailable => Problem::new(
                ProblemCode::KeysUnavailable,
                "The identity provider's keys are unavailable; try again shortly.",
            )
            .retry_after(5),
            OidcError::Expired => {
                Problem::new(ProblemCode::TokenExpired, "The token has expired; get a new one.")
            }
            other => {
                let detail = format!("The token was refused ({}): {other}.", other.code());
                let elsewhere = matches!(other, OidcError::WrongAudience | OidcError::UnknownIssuer);
                let hint =
                    " `GET /api/v1/auth/config` names the issuers of this service, and their audience.";
                Problem::new(ProblemCode::InvalidToken, detail + if elsewhere { hint } else { "" })
            }
        };
        Self(problem)
    }
}

/// Logs an internal error with its causes and returns a problem without them.
pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> ApiError {
    tracing::error!(error = %error_chain(error), "request failed with an internal error");
    ApiError(Problem::new(ProblemCode::InternalError, "Internal error; it has been logged."))
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ProblemBody::from(&self.0);
        metrics::counter!("rts_refusals_total", "code" => body.code).increment(1);
        let status = StatusCode::from_u16(body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED && self.0.code != ProblemCode::WebhookSignatureInvalid {
            let challenge = match self.0.code {
                ProblemCode::Unauthenticated => "Bearer",
                _ => r#"Bearer error="invalid_token""#,
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        // A browser that opened this path gets a page about it.
        response.extensions_mut().insert(self.0);
        response
    }
}

/// Result of a handler.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use axum::body::to_bytes;

    use super::*;

    /// Returns the status, the headers and the body of a response, as a client sees them.
    async fn shown(error: ApiError) -> String {
        let response = error.into_response();
        let mut text = format!("{}\n", response.status());
        for (name, value) in response.headers() {
            writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
        }
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        format!("{text}{body:#}\n")
    }

    #[tokio::test]
    async fn problem_bodies_of_all_codes_are_as_reviewed() {
        let mut text = String::new();
        for code in ProblemCode::ALL {
            text += &shown(ApiError(Problem::new(*code, "What happened."))).await;
        }
        let errors = vec![FieldError::new("/labels/0", "reason"), FieldError::new("query:limit", "reason")];
        text += &shown(ApiError(Problem::invalid(errors).retry_after(30))).await;
        insta::assert_snapshot!("problem-bodies", text);
    }

    #[tokio::test]
    async fn problems_of_failing_dependencies_are_as_reviewed() {
        let mut text = shown(StoreError::Conflict("unknown_key".to_owned()).into()).await;
        text += &shown(QueueError::Timeout.into()).await;
        text += &shown(domain::SealError::UnknownKey("old".to_owned()).into()).await;
        for error in [OidcError::KeysUnavailable, OidcError::Expired, OidcError::UnknownIssuer] {
            text += &shown(error.into()).await;
        }
        insta::assert_snapshot!("dependency-problems", text);
    }
}
