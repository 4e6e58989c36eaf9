//! A small HTTP client of the API.

use reqwest::{
    Client, Method, RequestBuilder, Response,
    header::{HeaderMap, HeaderValue},
};
use serde_json::Value;

use crate::World;

/// A caller with or without a token.
pub trait Bearer {
    /// Returns the token sent as `Authorization: Bearer`.
    fn token(&self) -> Option<&str>;
}

/// A caller without a token.
#[derive(Clone, Copy, Debug)]
pub struct Anyone;

impl Bearer for Anyone {
    fn token(&self) -> Option<&str> {
        None
    }
}

impl Bearer for str {
    fn token(&self) -> Option<&str> {
        Some(self)
    }
}

impl Bearer for String {
    fn token(&self) -> Option<&str> {
        Some(self)
    }
}

/// A request under construction.
#[derive(Debug)]
#[must_use]
pub struct ApiRequest(RequestBuilder);

impl ApiRequest {
    /// Returns a request to any URL.
    ///
    /// # Panics
    /// When the method is invalid.
    pub fn new(client: &Client, method: &str, url: String) -> Self {
        Self(client.request(Method::from_bytes(method.as_bytes()).unwrap(), url))
    }

    /// Adds the caller's token.
    pub fn by(self, who: &(impl Bearer + ?Sized)) -> Self {
        match who.token() {
            Some(token) => Self(self.0.bearer_auth(token)),
            None => self,
        }
    }

    /// Adds a header; repeated names are sent repeatedly.
    ///
    /// # Panics
    /// When the name or value is not a valid header.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, HeaderValue::from_bytes(value.as_bytes()).unwrap()))
    }

    /// Sets a JSON body.
    pub fn json(self, body: &Value) -> Self {
        Self(self.0.json(body))
    }

    /// Sets a body of any bytes and content type.
    pub fn raw(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self(self.0.header("content-type", content_type).body(body.into()))
    }

    /// Sends the request and returns the complete response.
    ///
    /// # Panics
    /// When no complete response arrives.
    pub async fn send(self) -> ApiResponse {
        self.try_send().await.expect("an answer")
    }

    /// Sends the request and returns the response without reading its body.
    ///
    /// # Panics
    /// When no response or an error status arrives.
    pub async fn open(self) -> Response {
        self.0.send().await.and_then(Response::error_for_status).expect("a good answer")
    }

    /// Sends the request and returns the response without reading its body, or `None` if its status is an error.
    pub async fn try_open(self) -> Option<Response> {
        self.0.send().await.ok()?.error_for_status().ok()
    }

    /// Sends the request and returns the complete response.
    ///
    /// # Errors
    /// When no complete response arrives, for example because the server has stopped.
    pub async fn try_send(self) -> reqwest::Result<ApiResponse> {
        let response = self.0.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = String::from_utf8_lossy(&response.bytes().await?).into_owned();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(ApiResponse { status, headers, body, text })
    }
}

/// A complete response.
#[derive(Clone, Debug)]
pub struct ApiResponse {
    /// HTTP status code.
    pub status: u16,
    /// Response headers.
    pub headers: HeaderMap,
    /// Body as JSON; `Null` if it is not JSON.
    pub body: Value,
    /// Body as sent.
    pub text: String,
}

impl ApiResponse {
    /// Returns a header's value, or an empty string if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Returns the problem code, or an empty string if the body is not a problem.
    pub fn code(&self) -> &str {
        let problem = self.header("content-type") == "application/problem+json";
        self.body["code"].as_str().filter(|_| problem).unwrap_or_default()
    }

    /// Returns the JSON pointers of a problem, in order.
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|error| error["pointer"].as_str()).collect()
    }

    /// Checks the status.
    ///
    /// # Panics
    /// When the status differs.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "the status is often all there is to see")]
    pub fn assert_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Checks status and problem code.
    ///
    /// # Panics
    /// When the response is not this problem.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "the status is often all there is to see")]
    pub fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        assert_eq!(self.body["status"], status, "{}", self.text);
        self
    }
}

impl World {
    /// Returns a request to `/api/v1{path}`.
    pub fn ask(&self, method: &str, path: &str) -> ApiRequest {
        self.request(method, &format!("/api/v1{path}"))
    }

    /// Returns a request to any path.
    pub fn request(&self, method: &str, path: &str) -> ApiRequest {
        ApiRequest::new(&self.client, method, format!("{}{path}", self.url()))
    }

    /// Sends a GET request below `/api/v1`.
    pub async fn get(&self, path: &str, who: &(impl Bearer + ?Sized)) -> ApiResponse {
        self.ask("GET", path).by(who).send().await
    }

    /// Sends a POST request below `/api/v1`.
    pub async fn post(&self, path: &str, who: &(impl Bearer + ?Sized), body: &Value) -> ApiResponse {
        self.ask("POST", path).by(who).json(body).send().await
    }

    /// Sends a PATCH request below `/api/v1`.
    pub async fn patch(&self, path: &str, who: &(impl Bearer + ?Sized), body: &Value) -> ApiResponse {
        self.ask("PATCH", path).by(who).json(body).send().await
    }

    /// Sends a DELETE request below `/api/v1`.
    pub async fn delete(&self, path: &str, who: &(impl Bearer + ?Sized)) -> ApiResponse {
        self.ask("DELETE", path).by(who).send().await
    }
}
