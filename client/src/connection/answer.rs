//! Answers of the service as the commands read them.

use std::{fmt, time::Duration};

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use serde_json::{Value, json};

/// Longest wait that an answer may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);

/// One wrong value of a request.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub(crate) struct FieldFault {
    /// Place of the value.
    pub(crate) pointer: String,
    /// Fault, as a sentence.
    pub(crate) detail: String,
}

/// Problem document of an answer. Codes are text, so that a newer service's codes are readable.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct WireProblem {
    /// HTTP status.
    pub status: u16,
    /// Stable code.
    pub code: String,
    /// Explanation for people.
    pub detail: String,
    /// Title, equal for every occurrence.
    pub title: String,
    /// Wrong values.
    pub(crate) errors: Vec<FieldFault>,
    /// Document as it came.
    #[serde(skip)]
    pub document: Value,
}

impl WireProblem {
    /// Reads a problem document. An answer that is none, of a proxy for example, becomes one with its status.
    pub(crate) fn read(status: u16, body: &Value) -> Self {
        let read: Option<Self> = serde_json::from_value(body.clone()).ok();
        if let Some(problem) = read.filter(|problem| !problem.code.is_empty()) {
            return Self { status, document: body.clone(), ..problem };
        }
        let detail = format!("The answer has status {status} and no problem document.");
        let document = json!({ "type": "about:blank", "status": status, "detail": detail });
        Self { status, detail, document, ..Self::default() }
    }
}

impl fmt::Display for WireProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = if self.detail.is_empty() { &self.title } else { &self.detail };
        f.write_str(&crate::output::plain(detail))?;
        for error in &self.errors {
            let (pointer, detail) =
                (crate::output::plain(&error.pointer), crate::output::plain(&error.detail));
            write!(f, " {pointer}: {detail}")?;
        }
        if !self.code.is_empty() {
            write!(f, " ({})", crate::output::plain(&self.code))?;
        }
        Ok(())
    }
}

/// A complete answer with a status below 400.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Body; `Null` if there is none.
    pub(crate) body: Value,
}

/// Returns the wait of `Retry-After`, which our service states in seconds.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

/// Returns whether a body is JSON by its content type.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence == "application/json" || essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_names_the_wrong_values() {
        let body = json!({
            "status": 422, "code": "validation_failed", "title": "t", "detail": "Values are not valid.",
            "errors": [{ "pointer": "/labels/0", "detail": "has a blank" }],
        });
        let problem = WireProblem::read(422, &body);
        assert_eq!(problem.to_string(), "Values are not valid. /labels/0: has a blank (validation_failed)");
        assert_eq!(problem.document, body);
    }

    #[test]
    fn newer_services_code_is_readable() {
        let problem = WireProblem::read(409, &json!({ "code": "of_tomorrow", "detail": "No." }));
        assert_eq!((problem.status, problem.code.as_str()), (409, "of_tomorrow"));
        assert_eq!(WireProblem::read(502, &Value::Null).status, 502);
    }
}
