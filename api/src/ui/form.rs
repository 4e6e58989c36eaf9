//! Forms that a page sends.

use axum::{
    extract::{FromRequest, Request},
    http::header,
};
use domain::{FieldError, Problem, ProblemCode, json_pointer};
use serde::de::DeserializeOwned;

use super::error::UiError;
use crate::{
    app::AppState,
    body::{MAX_BODY, read_body},
};

/// Most fields of a form.
const MAX_FIELDS: usize = 2000;

/// A form of at most 64 KiB. A repeated field is a list; an empty field of an optional value is none.
#[derive(Debug)]
pub(crate) struct UiForm<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<AppState> for UiForm<T> {
    type Rejection = UiError;

    async fn from_request(request: Request, _: &AppState) -> Result<Self, UiError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
        if !kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let detail = "Send the form as the page does, as application/x-www-form-urlencoded.";
            return Err(Problem::new(ProblemCode::UnsupportedMediaType, detail).into());
        }
        Ok(parse(&read_body(request, MAX_BODY).await?).map(Self)?)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(bytes)
        .map(|(name, value)| (name.into_owned(), value.replace("\r\n", "\n")))
        .collect();
    if pairs.len() > MAX_FIELDS {
        return Err(Problem::field("", "too many fields"));
    }
    let unclean = |text: &str| text.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
    let wrong = pairs.iter().filter(|(name, value)| unclean(name) || unclean(value));
    let wrong: Vec<FieldError> = wrong
        .map(|(name, _)| FieldError::new(format!("/{}", domain::sanitized(name)), domain::NO_CONTROLS))
        .collect();
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(&pairs);
    let text = text.finish();
    let reader = serde_html_form::Deserializer::from_bytes(text.as_bytes());
    serde_path_to_error::deserialize(reader)
        .map_err(|error| Problem::field(json_pointer(error.path()), error.inner().to_string()))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        reason: String,
        count: Option<u32>,
        #[serde(default)]
        selected: Vec<String>,
    }

    #[test]
    fn form_is_read_with_lists_and_empty_fields() {
        let read: Sample = parse(b"reason=a+b%0D%0Ac&count=&selected=1&selected=2").unwrap();
        let expected =
            Sample { reason: "a b\nc".into(), count: None, selected: vec!["1".into(), "2".into()] };
        assert_eq!(read, expected);
    }

    #[test]
    fn wrong_field_is_named() {
        for (form, pointer) in
            [("reason=a&count=x", "/count"), ("reason=a&more=1", "/more"), ("reason=%00", "/reason")]
        {
            let problem = parse::<Sample>(form.as_bytes()).unwrap_err();
            assert_eq!(problem.errors[0].pointer, pointer, "{form}: {problem:?}");
        }
    }
}
