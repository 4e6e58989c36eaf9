//! Input of pages: query strings, ids and forms. A wrong one is a page that says what is wrong.

use std::str::FromStr;

use askama::Template;
use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::Response,
};
use domain::{FieldError, Problem, Team};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    app::AppState,
    body::{Id, Ids, Params, find_team},
    error::{ApiError, ApiResult},
    ui::{UiError, UiResult, page},
};

/// Most characters of one list in a form.
const MAX_LIST_TEXT: usize = 32 * 1024;

/// A query string.
#[derive(Debug)]
pub(crate) struct PageParams<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for PageParams<T> {
    type Rejection = UiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, UiError> {
        let Params(params) = Params::from_request_parts(parts, app).await?;
        Ok(Self(params))
    }
}

/// An id in the path.
#[derive(Debug)]
pub(crate) struct PageId<T>(pub(crate) T);

impl<T: FromStr> FromRequestParts<AppState> for PageId<T> {
    type Rejection = UiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, UiError> {
        let Id(id) = Id::from_request_parts(parts, app).await?;
        Ok(Self(id))
    }
}

/// Two ids in the path.
#[derive(Debug)]
pub(crate) struct PageIds<A, B>(pub(crate) A, pub(crate) B);

impl<A: FromStr, B: FromStr> FromRequestParts<AppState> for PageIds<A, B> {
    type Rejection = UiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, UiError> {
        let Ids(first, second) = Ids::from_request_parts(parts, app).await?;
        Ok(Self(first, second))
    }
}

/// Refusal of a form, shown above it; the form keeps what was entered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) title: &'static str,
    pub(crate) detail: String,
    pub(crate) code: &'static str,
    pub(crate) status: u16,
    pub(crate) errors: Vec<FieldError>,
}

impl Refusal {
    /// Returns the refusal of a request that its sender can correct.
    ///
    /// # Errors
    /// Any other error: the form would not help.
    pub(crate) fn of(error: impl Into<ApiError>) -> Result<Self, UiError> {
        let ApiError(problem) = error.into();
        if problem.code.status() >= 500 || problem.code.status() == 404 {
            return Err(problem.into());
        }
        let Problem { code, detail, errors, .. } = problem;
        Ok(Self { title: code.title(), detail, code: code.as_str(), status: code.status(), errors })
    }

    /// Returns the fault of one value; a list has the faults of its entries.
    pub(crate) fn at(&self, pointer: &str) -> String {
        let below = |error: &&FieldError| {
            error.pointer.strip_prefix(pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let faults: Vec<&str> = self.errors.iter().filter(below).map(|error| error.detail.as_str()).collect();
        faults.join("; ")
    }
}

/// Returns the page of a form, with the status of its refusal if there is one.
pub(crate) fn form_page(form: &impl Template, refusal: Option<&Refusal>) -> UiResult<Response> {
    let mut response = page(form)?;
    if let Some(status) = refusal.and_then(|refusal| StatusCode::from_u16(refusal.status).ok()) {
        *response.status_mut() = status;
    }
    Ok(response)
}

/// Reason of an action, as its preview's form has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirmation {
    pub(crate) comment: String,
}

impl Confirmation {
    /// Returns the reason.
    ///
    /// # Errors
    /// `validation_failed` at `/comment` if it is empty.
    pub(crate) fn reason(&self) -> Result<String, Problem> {
        given_reason(&self.comment)
    }
}

/// Returns the reason of a change, for which the dashboard always asks.
///
/// # Errors
/// `validation_failed` at `/comment` if it is empty.
pub(crate) fn given_reason(comment: &str) -> Result<String, Problem> {
    let missing = || Problem::field("/comment", "1 to 500 characters: the reason, for the audit log");
    optional(comment).ok_or_else(missing)
}

/// Returns the team with this name or id.
///
/// # Errors
/// `validation_failed` at the pointer if there is none; database errors.
pub(crate) async fn named_team(app: &AppState, pointer: &str, named: &str) -> ApiResult<Team> {
    let unknown = || Problem::field(pointer, format!("no team has the name or id `{named}`"));
    Ok(find_team(app, named).await?.ok_or_else(unknown)?)
}

/// Returns a text field, `None` if it is empty. Spaces around it are not meant.
pub(crate) fn optional(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns the entries of a list that a form has as lines.
///
/// # Errors
/// `validation_failed` at the pointer for a text that is too long.
pub(crate) fn lines(pointer: &str, text: &str) -> Result<Vec<String>, Problem> {
    split(pointer, text, &['\n', '\r'])
}

/// Returns the labels of a form, separated by commas or lines.
///
/// # Errors
/// `validation_failed` at the pointer for a text that is too long.
pub(crate) fn labels(pointer: &str, text: &str) -> Result<Vec<String>, Problem> {
    split(pointer, text, &[',', '\n', '\r'])
}

fn split(pointer: &str, text: &str, at: &[char]) -> Result<Vec<String>, Problem> {
    if text.len() > MAX_LIST_TEXT {
        return Err(Problem::field(pointer, "too long"));
    }
    Ok(text.split(at).map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect())
}

/// Returns a number field, `None` if it is empty.
///
/// # Errors
/// `validation_failed` at the pointer for any other text.
pub(crate) fn number<T: FromStr>(pointer: &str, text: &str) -> Result<Option<T>, Problem> {
    optional(text).map(|text| text.parse().map_err(|_| Problem::field(pointer, "a number"))).transpose()
}

#[cfg(test)]
mod tests {
    use domain::ProblemCode;

    use super::*;

    #[test]
    fn lists_and_numbers_are_read_as_people_write_them() {
        assert_eq!(labels("/labels", " linux, gpu-1,\r\n, x64 ").unwrap(), ["linux", "gpu-1", "x64"]);
        assert_eq!(lines("/p", "a,b\r\n\r\n c ").unwrap(), ["a,b", "c"]);
        assert_eq!(lines("/p", &"x".repeat(40_000)).unwrap_err().errors[0].pointer, "/p");
        assert_eq!((number::<i32>("/n", " ").unwrap(), number::<i32>("/n", "7").unwrap()), (None, Some(7)));
        assert_eq!(number::<i32>("/n", "x").unwrap_err().code, ProblemCode::ValidationFailed);
        assert_eq!(optional("  "), None);
    }

    #[test]
    fn refusal_shows_faults_of_a_list_at_the_list() {
        let errors = vec![
            FieldError::new("/labels/0", "first"),
            FieldError::new("/labels/2", "third"),
            FieldError::new("/labels_too", "other"),
        ];
        let refusal = Refusal::of(Problem::invalid(errors)).unwrap();
        assert_eq!((refusal.at("/labels").as_str(), refusal.status), ("first; third", 422));
        assert!(Refusal::of(Problem::not_found("team")).is_err());
    }
}
