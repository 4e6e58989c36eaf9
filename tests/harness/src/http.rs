//! A small client of the API, as plain as a caller's.

use reqwest::{
    Client, Method, RequestBuilder, Response,
    header::{HeaderMap, HeaderValue},
};
use serde_json::Value;

use crate::World;

/// Someone with a token, or without.
pub trait Bearer {
    /// The token sent as `Authorization: Bearer`.
    fn token(&self) -> Option<&str>;
}

/// Nobody in particular: no token at all.
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

/// One request being put together.
#[derive(Debug)]
#[must_use]
pub struct ApiRequest(RequestBuilder);

impl ApiRequest {
    /// A request to any URL.
    ///
    /// # Panics
    /// When the method is none.
    pub fn new(client: &Client, method: &str, url: String) -> Self {
        Self(client.request(Method::from_bytes(method.as_bytes()).unwrap(), url))
    }

    /// With this one's token.
    pub fn by(self, who: &(impl Bearer + ?Sized)) -> Self {
        match who.token() {
            Some(token) => Self(self.0.bearer_auth(token)),
            None => self,
        }
    }

    /// With one header more; the same one twice is possible.
    ///
    /// # Panics
    /// When no header can be so.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, HeaderValue::from_bytes(value.as_bytes()).unwrap()))
    }

    /// With a JSON body.
    pub fn json(self, body: &Value) -> Self {
        Self(self.0.json(body))
    }

    /// With any bytes, said to be of any type.
    pub fn raw(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self(self.0.header("content-type", content_type).body(body.into()))
    }

    /// Sends it and reads the answer to its end.
    ///
    /// # Panics
    /// When there is no whole answer.
    pub async fn send(self) -> ApiResponse {
        self.try_send().await.expect("an answer")
    }

    /// Sends it and leaves the answer to be read as it comes.
    ///
    /// # Panics
    /// When there is no answer, or not a good one.
    pub async fn open(self) -> Response {
        self.0.send().await.and_then(Response::error_for_status).expect("a good answer")
    }

    /// As [`Self::open`]; none when the answer is not a good one.
    pub async fn try_open(self) -> Option<Response> {
        self.0.send().await.ok()?.error_for_status().ok()
    }

    /// As [`Self::send`], for a server that may be gone.
    pub async fn try_send(self) -> reqwest::Result<ApiResponse> {
        let response = self.0.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = String::from_utf8_lossy(&response.bytes().await?).into_owned();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(ApiResponse { status, headers, body, text })
    }
}

/// One answer, read to its end.
#[derive(Clone, Debug)]
pub struct ApiResponse {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body as JSON; `Null` when it is none.
    pub body: Value,
    /// The body as sent.
    pub text: String,
}

impl ApiResponse {
    /// A header; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The code of a problem; empty when it is none.
    pub fn code(&self) -> &str {
        let problem = self.header("content-type") == "application/problem+json";
        self.body["code"].as_str().filter(|_| problem).unwrap_or_default()
    }

    /// Where a problem points to, in order.
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|error| error["pointer"].as_str()).collect()
    }

    /// Insists on a status.
    ///
    /// # Panics
    /// When it is another.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "the status is often all there is to see")]
    pub fn assert_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Insists on a problem.
    ///
    /// # Panics
    /// When it is none, or another.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "the status is often all there is to see")]
    pub fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        assert_eq!(self.body["status"], status, "{}", self.text);
        self
    }
}

impl World {
    /// A request to `/api/v1{path}`.
    pub fn ask(&self, method: &str, path: &str) -> ApiRequest {
        self.request(method, &format!("/api/v1{path}"))
    }

    /// A request to any path.
    pub fn request(&self, method: &str, path: &str) -> ApiRequest {
        ApiRequest::new(&self.client, method, format!("{}{path}", self.url()))
    }

    /// GET below `/api/v1`.
    pub async fn get(&self, path: &str, who: &(impl Bearer + ?Sized)) -> ApiResponse {
        self.ask("GET", path).by(who).send().await
    }

    /// POST below `/api/v1`.
    pub async fn post(&self, path: &str, who: &(impl Bearer + ?Sized), body: &Value) -> ApiResponse {
        self.ask("POST", path).by(who).json(body).send().await
    }

    /// PATCH below `/api/v1`.
    pub async fn patch(&self, path: &str, who: &(impl Bearer + ?Sized), body: &Value) -> ApiResponse {
        self.ask("PATCH", path).by(who).json(body).send().await
    }

    /// DELETE below `/api/v1`.
    pub async fn delete(&self, path: &str, who: &(impl Bearer + ?Sized)) -> ApiResponse {
        self.ask("DELETE", path).by(who).send().await
    }
}
