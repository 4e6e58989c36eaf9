//! Request bodies, query strings and path ids, read into values or refused with a pointer.

use std::str::FromStr;

use axum::{
    body::HttpBody,
    extract::{FromRequest, FromRequestParts, OptionalFromRequest, Path, Request},
    http::{header, request::Parts},
};
use domain::{FieldError, Problem, ProblemCode};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::{app::App, error::ApiError};

/// Largest body read, in bytes.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &App) -> Result<Self, ApiError> {
        if !is_json(&request) {
            return Err(Problem::new(
                ProblemCode::UnsupportedMediaType,
                "Send the body as `Content-Type: application/json`.",
            )
            .into());
        }
        let bytes = axum::body::to_bytes(request.into_body(), MAX_BODY).await.map_err(|_| {
            Problem::new(ProblemCode::PayloadTooLarge, format!("A body is at most {MAX_BODY} bytes."))
        })?;
        Ok(Self(parse(&bytes)?))
    }
}

impl<T: DeserializeOwned> OptionalFromRequest<App> for Body<T> {
    type Rejection = ApiError;

    /// None: there is no body at all.
    async fn from_request(request: Request, app: &App) -> Result<Option<Self>, ApiError> {
        if request.headers().get(header::CONTENT_TYPE).is_none() && request.body().is_end_stream() {
            return Ok(None);
        }
        <Self as FromRequest<App>>::from_request(request, app).await.map(Some)
    }
}

fn is_json(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        if error.inner().is_data() {
            Problem::field(pointer, without_place(&error.inner().to_string()))
        } else {
            unreadable(error.inner(), pointer)
        }
    })?;
    reader.end().map_err(|error| unreadable(&error, String::new()))?;
    Ok(value)
}

fn unreadable(error: &serde_json::Error, pointer: String) -> Problem {
    Problem::new(ProblemCode::MalformedBody, "The body is not one JSON value in UTF-8.")
        .with_errors(vec![FieldError::new(pointer, error.to_string())])
}

/// The message without ` at line 1 column 7`.
fn without_place(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => String::new(),
        })
        .collect()
}

/// A query string.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs: Vec<(String, String)> =
            serde_urlencoded::from_str(query).map_err(|_| Problem::field("query:", "cannot be read"))?;
        let present: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let text =
            serde_urlencoded::to_string(present).map_err(|_| Problem::field("query:", "cannot be read"))?;
        let reader = serde_urlencoded::Deserializer::new(url::form_urlencoded::parse(text.as_bytes()));
        serde_path_to_error::deserialize(reader).map(Self).map_err(|error| {
            let place = pointer(error.path());
            Problem::field(format!("query:{}", place.trim_start_matches('/')), error.inner().to_string())
                .into()
        })
    }
}

/// An id in the path.
#[derive(Debug)]
pub(crate) struct Id<T>(pub(crate) T);

impl<T: FromStr> FromRequestParts<App> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, app).await.map_err(|_| no_id())?;
        text.parse().map(Self).map_err(|_| no_id())
    }
}

/// Two ids in the path.
#[derive(Debug)]
pub(crate) struct Ids<A, B>(pub(crate) A, pub(crate) B);

impl<A: FromStr, B: FromStr> FromRequestParts<App> for Ids<A, B> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Path((first, second)) =
            Path::<(String, String)>::from_request_parts(parts, app).await.map_err(|_| no_id())?;
        match (first.parse(), second.parse()) {
            (Ok(first), Ok(second)) => Ok(Self(first, second)),
            _ => Err(no_id()),
        }
    }
}

fn no_id() -> ApiError {
    Problem::new(ProblemCode::NotFound, "There is nothing of this id.")
        .with_errors(vec![FieldError::new("path:id", "not an id: ids are UUIDs, lanes have names")])
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only read")]
        labels: Vec<String>,
    }

    fn refusal(body: &[u8]) -> (ProblemCode, String) {
        let problem = parse::<Sample>(body).unwrap_err();
        (problem.code, problem.errors[0].pointer.clone())
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        assert_eq!(refusal(br#"{"labels":["a",1]}"#), (ProblemCode::ValidationFailed, "/labels/1".into()));
        assert_eq!(refusal(br#"{"labels":[],"x":1}"#), (ProblemCode::ValidationFailed, "/x".into()));
        assert_eq!(refusal(b"{}").0, ProblemCode::ValidationFailed);
        assert_eq!(refusal(b"\xff\xfe").0, ProblemCode::MalformedBody);
        assert_eq!(refusal(br#"{"labels":[]} {}"#).0, ProblemCode::MalformedBody);
    }

    #[test]
    fn depth_has_a_bound() {
        let deep = format!(r#"{{"labels":{}"#, "[".repeat(20_000));
        assert!(parse::<Sample>(deep.as_bytes()).is_err());
        let deep = "[".repeat(20_000);
        assert!(parse::<serde_json::Value>(deep.as_bytes()).is_err());
    }
}
