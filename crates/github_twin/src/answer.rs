//! Responses in GitHub's formats.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::ledger::ViolationKind;

const DOCS: &str = "https://docs.github.com/rest";

/// Response of a handler, before the common headers.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Option<Value>,
    pub(crate) headers: Vec<(Cow<'static, str>, String)>,
    pub(crate) violation: Option<(ViolationKind, String)>,
}

impl Answer {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self { status, body: Some(body), headers: Vec::new(), violation: None }
    }

    pub(crate) fn ok(body: Value) -> Self {
        Self::new(200, body)
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, body: None, headers: Vec::new(), violation: None }
    }

    /// Returns an error response in GitHub's common format.
    pub(crate) fn error(status: u16, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self::new(
            status,
            json!({"message": message, "documentation_url": DOCS, "status": status.to_string()}),
        )
    }

    /// Returns whether the credential is unknown or expired. GitHub does not count such a request, and its response has
    /// no
    /// rate-limit headers.
    pub(crate) fn is_bad_credentials(&self) -> bool {
        let message = self.body.as_ref().and_then(|body| body["message"].as_str());
        self.status == 401 && message == Some("Bad credentials")
    }

    pub(crate) fn not_found() -> Self {
        Self::error(404, "Not Found")
    }

    /// Returns the 422 of the runner calls, whose `errors` are plain texts.
    pub(crate) fn invalid(message: impl Into<String>, errors: &[&str]) -> Self {
        let mut answer = Self::error(422, message);
        if let Some(Value::Object(body)) = answer.body.as_mut().filter(|_| !errors.is_empty()) {
            body.insert("errors".into(), json!(errors));
        }
        answer
    }

    /// Returns the 422 of the App calls, whose `errors` are objects.
    pub(crate) fn validation_failed(resource: &str, field: &str, code: &str) -> Self {
        let mut answer = Self::error(422, "Validation Failed");
        if let Some(Value::Object(body)) = answer.body.as_mut() {
            body.insert("errors".into(), json!([{"resource": resource, "field": field, "code": code}]));
        }
        answer
    }

    pub(crate) fn forbidden(permission: &str, level: &str) -> Self {
        Self::error(403, "Resource not accessible by integration")
            .with("x-accepted-github-permissions", format!("{permission}={level}"))
    }

    pub(crate) fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn with_violation(mut self, kind: ViolationKind, detail: impl Into<String>) -> Self {
        self.violation = Some((kind, detail.into()));
        self
    }
}
