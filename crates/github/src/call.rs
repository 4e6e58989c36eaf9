//! Call to GitHub and its reply.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde::{Serialize, de::DeserializeOwned};

use crate::{error::GitHubError, headers};

/// One request, before it has a credential.
pub(crate) struct Call {
    /// GitHub's name of the operation: a label of logs and metrics.
    pub(crate) operation: &'static str,
    pub(crate) method: Method,
    /// Path and query below the API's base, percent-encoded.
    pub(crate) path: String,
    /// Body in JSON.
    pub(crate) body: Option<String>,
    /// Entity tag for a conditional request.
    pub(crate) etag: Option<String>,
}

impl Call {
    fn new(operation: &'static str, method: Method, path: String) -> Self {
        Self { operation, method, path, body: None, etag: None }
    }

    pub(crate) fn get(operation: &'static str, path: String) -> Self {
        Self::new(operation, Method::GET, path)
    }

    pub(crate) fn delete(operation: &'static str, path: String) -> Self {
        Self::new(operation, Method::DELETE, path)
    }

    pub(crate) fn post(operation: &'static str, path: String) -> Self {
        Self::new(operation, Method::POST, path)
    }

    pub(crate) fn put(operation: &'static str, path: String) -> Self {
        Self::new(operation, Method::PUT, path)
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self, GitHubError> {
        let text = serde_json::to_string(body)
            .map_err(|_| GitHubError::Argument("its body cannot be written as JSON"))?;
        self.body = Some(text);
        Ok(self)
    }

    pub(crate) fn if_none_match(mut self, etag: Option<&str>) -> Self {
        self.etag = etag.map(str::to_owned);
        self
    }

    /// Whether the call cannot change anything on GitHub, even if its response is lost.
    pub(crate) fn read_only(&self) -> bool {
        self.method == Method::GET
    }

    pub(crate) fn malformed(&self, reason: impl Into<String>) -> GitHubError {
        GitHubError::Malformed {
            operation: self.operation,
            reason: reason.into(),
            read_only: self.read_only(),
            request_id: None,
        }
    }

    /// Returns the body as `T`. An error names the place and never the text, which may be secret.
    pub(crate) fn parse<T: DeserializeOwned>(&self, reply: &Reply) -> Result<T, GitHubError> {
        let text = domain::clean_json(&reply.body);
        let mut json = serde_json::Deserializer::from_str(&text);
        serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let (path, inner) = (error.path().to_string(), error.inner());
            let (line, column) = (inner.line(), inner.column());
            let what = inner.classify();
            self.malformed(format!("{what:?} error at `{path}`, line {line}, column {column}"))
        })
    }
}

/// A complete response.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn request_id(&self) -> Option<String> {
        headers::request_id(&self.headers)
    }
}
