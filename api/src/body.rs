//! Extractors for request bodies, query strings and path ids. Errors point at the invalid value.

use std::{str::FromStr, time::Duration};

use axum::{
    body::{Bytes, HttpBody},
    extract::{FromRequest, FromRequestParts, OptionalFromRequest, Path, Request},
    http::{header, request::Parts},
};
use domain::{
    FieldError, Json, NO_CONTROLS, Problem, ProblemCode, Team, TeamId, is_clean, json_pointer, plain_fault,
    read_json, sanitized, with_nearest_word,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::{
    app::AppState,
    error::{ApiError, ApiResult},
};

/// Largest request body, in bytes.
pub(crate) const MAX_BODY: usize = 64 * 1024;
/// Largest body of a call that takes whole files, in bytes.
pub(crate) const MAX_LARGE_BODY: usize = 8 * 1024 * 1024;
/// Longest time to send a body.
const MAX_BODY_TIME: Duration = Duration::from_secs(10);

/// A JSON body; always an object.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<AppState> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &AppState) -> Result<Self, ApiError> {
        Ok(Self(read(request, MAX_BODY).await?))
    }
}

/// A JSON body of a call that takes whole files; always an object. Its extractor comes after the caller's.
#[derive(Debug)]
pub(crate) struct LargeBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<AppState> for LargeBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &AppState) -> Result<Self, ApiError> {
        Ok(Self(read(request, MAX_LARGE_BODY).await?))
    }
}

/// Reads a JSON body of at most `max` bytes.
async fn read<T: DeserializeOwned>(request: Request, max: usize) -> Result<T, Problem> {
    if !is_json(&request) {
        return Err(Problem::new(
            ProblemCode::UnsupportedMediaType,
            "Send the body as `Content-Type: application/json`.",
        ));
    }
    parse(&read_body(request, max).await?)
}

impl<T: DeserializeOwned> OptionalFromRequest<AppState> for Body<T> {
    type Rejection = ApiError;

    /// Returns `None` if there is no body or it is `null`.
    async fn from_request(request: Request, app: &AppState) -> Result<Option<Self>, ApiError> {
        if request.body().is_end_stream() {
            return Ok(None);
        }
        if !is_json(&request) {
            return <Self as FromRequest<AppState>>::from_request(request, app).await.map(Some);
        }
        let bytes = read_body(request, MAX_BODY).await?;
        let text = bytes.trim_ascii();
        if text.is_empty() || text == b"null" { Ok(None) } else { Ok(Some(Self(parse(&bytes)?))) }
    }
}

/// Reads the whole body within its limits of size and time.
pub(crate) async fn read_body(request: Request, max: usize) -> Result<Bytes, Problem> {
    let read = timeout(MAX_BODY_TIME, Limited::new(request.into_body(), max).collect()).await;
    let read = read.map_err(|_| {
        let detail = format!("The body was not complete after {} s.", MAX_BODY_TIME.as_secs());
        Problem::new(ProblemCode::RequestTimeout, detail)
    })?;
    read.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.is::<LengthLimitError>() {
            Problem::new(ProblemCode::PayloadTooLarge, format!("A body is at most {max} bytes."))
        } else {
            Problem::new(ProblemCode::MalformedBody, "The body ended before it was complete.")
        }
    })
}

fn is_json(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let json = parse_json(bytes)?;
    let unclean = json.unclean_texts();
    if !unclean.is_empty() {
        return Err(Problem::invalid(unclean));
    }
    read_json(json).map_err(|error| Problem::invalid(vec![error]))
}

fn parse_json(bytes: &[u8]) -> Result<Json, Problem> {
    if bytes.is_empty() {
        return Err(Problem::new(ProblemCode::MalformedBody, "The body is empty; send a JSON object."));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let json = Json::deserialize(&mut reader).map_err(|error| {
        // serde_json reports its recursion limit only in the message.
        if error.to_string().starts_with("recursion limit exceeded") {
            Problem::field("", "nested too deeply")
        } else {
            malformed_body(&error)
        }
    })?;
    reader.end().map_err(|error| malformed_body(&error))?;
    Ok(json)
}

fn malformed_body(error: &serde_json::Error) -> Problem {
    Problem::new(ProblemCode::MalformedBody, "The body is not a single valid JSON value in UTF-8.")
        .with_errors(vec![FieldError::new("", error.to_string())])
}

/// A query string.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs: Vec<(String, String)> =
            serde_urlencoded::from_str(query).map_err(|_| Problem::field("query:", "cannot be read"))?;
        let wrong: Vec<FieldError> =
            pairs.iter().filter_map(|(name, value)| check_parameter(name, value)).collect();
        if !wrong.is_empty() {
            return Err(Problem::invalid(wrong).into());
        }
        // Forms send every field; an empty value is no filter.
        let present: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let text =
            serde_urlencoded::to_string(present).map_err(|_| Problem::field("query:", "cannot be read"))?;
        let reader = serde_urlencoded::Deserializer::new(url::form_urlencoded::parse(text.as_bytes()));
        serde_path_to_error::deserialize(reader).map(Self).map_err(|error| {
            let place = json_pointer(error.path());
            let fault = with_nearest_word(&plain_fault(&error.inner().to_string()));
            Problem::field(format!("query:{}", place.trim_start_matches('/')), fault).into()
        })
    }
}

/// Returns the error of a parameter with control characters in its name or value.
fn check_parameter(name: &str, value: &str) -> Option<FieldError> {
    let detail = match value {
        _ if !is_clean(name) => "a name must not contain control characters",
        _ if !is_clean(value) => NO_CONTROLS,
        _ => return None,
    };
    Some(FieldError::new(format!("query:{}", sanitized(name)), detail))
}

/// Resolves a team filter (id or name). An unknown name gives the nil id, which matches no row: a filter must not
/// reveal which names exist.
pub(crate) async fn filtered_team(app: &AppState, named: Option<&str>) -> ApiResult<Option<TeamId>> {
    let Some(named) = named else { return Ok(None) };
    if let Ok(id) = named.parse() {
        return Ok(Some(id));
    }
    Ok(Some(find_team(app, named).await?.map_or(TeamId::NIL, |team| team.id)))
}

/// Returns the team with this id or name, if it exists.
pub(crate) async fn find_team(app: &AppState, named: &str) -> ApiResult<Option<Team>> {
    let mut conn = app.store.conn().await?;
    Ok(match named.parse() {
        Ok(id) => conn.teams().get(id).await?,
        Err(_) => conn.teams().by_name(named).await?,
    })
}

/// An id in the path.
#[derive(Debug)]
pub(crate) struct Id<T>(pub(crate) T);

impl<T: FromStr> FromRequestParts<AppState> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, app).await.map_err(|_| invalid_id())?;
        text.parse().map(Self).map_err(|_| invalid_id())
    }
}

/// Two ids in the path.
#[derive(Debug)]
pub(crate) struct Ids<A, B>(pub(crate) A, pub(crate) B);

impl<A: FromStr, B: FromStr> FromRequestParts<AppState> for Ids<A, B> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Path((first, second)) =
            Path::<(String, String)>::from_request_parts(parts, app).await.map_err(|_| invalid_id())?;
        match (first.parse(), second.parse()) {
            (Ok(first), Ok(second)) => Ok(Self(first, second)),
            _ => Err(invalid_id()),
        }
    }
}

fn invalid_id() -> ApiError {
    Problem::new(ProblemCode::NotFound, "No resource with this id.")
        .with_errors(vec![FieldError::new("path:id", "not a valid id: ids are UUIDs, lanes have names")])
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
    fn errors_point_at_the_wrong_field() {
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
