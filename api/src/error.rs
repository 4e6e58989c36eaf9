//! The one table from errors to answers.

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
use utoipa::{
    ToSchema,
    openapi::{ObjectBuilder, Schema, schema::Type},
};

/// What a handler answers when it cannot do what it was asked.
#[derive(Debug)]
pub(crate) struct ApiError(pub(crate) Problem);

/// An RFC 9457 problem document (`application/problem+json`).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// A URN made of the code.
    #[schema(example = "urn:runner-token-service:problem:validation_failed")]
    pub(crate) r#type: String,
    /// The same for every occurrence.
    #[schema(value_type = String)]
    pub(crate) title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    pub(crate) status: u16,
    /// Stable; programs decide by it.
    #[schema(example = "validation_failed", schema_with = problem_code)]
    pub(crate) code: &'static str,
    /// A sentence for a person.
    pub(crate) detail: String,
    /// The values that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<FieldErrorBody>,
}

/// The schema of a code: one of those there are.
fn problem_code() -> Schema {
    let codes = ProblemCode::ALL.iter().map(|code| code.as_str());
    Schema::Object(ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes)).build())
}

/// One wrong value.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FieldErrorBody {
    /// A JSON pointer into the body, or `query:name`, `header:name`, `path:name`.
    #[schema(example = "/labels/0")]
    pub(crate) pointer: String,
    /// What is wrong.
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
                tracing::warn!(error = %source, "the database is unavailable");
                Self(
                    Problem::new(
                        ProblemCode::DatabaseUnavailable,
                        "The database is unavailable; try again shortly.",
                    )
                    .retry_after(5),
                )
            }
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
        tracing::warn!(%error, "the queue is unavailable");
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
            "a config was sealed with a key that is not among CREDENTIAL_KEYS here; give every api and worker process the same keys"
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
                "The identity provider's keys cannot be had at the moment; try again shortly.",
            )
            .retry_after(5),
            OidcError::Expired => {
                Problem::new(ProblemCode::TokenExpired, "The token has expired; get a new one.")
            }
            other => Problem::new(
                ProblemCode::InvalidToken,
                format!("The token was refused ({}): {other}.", other.code()),
            ),
        };
        Self(problem)
    }
}

/// A fault of ours: logged with its causes, told without them.
pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> ApiError {
    tracing::error!(error = %error_chain(error), "a request failed through a fault of ours");
    ApiError(Problem::new(
        ProblemCode::InternalError,
        "Something went wrong on our side; it has been logged.",
    ))
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ProblemBody::from(&self.0);
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
        response
    }
}

/// What handlers answer.
pub(crate) type ApiResult<T> = Result<T, ApiError>;
