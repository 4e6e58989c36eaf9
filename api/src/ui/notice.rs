//! Notices: a sentence about a finished action, shown once on the next page.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::cookies;

/// Longest notice, in characters.
const MAX_LENGTH: usize = 300;
/// Seconds until a notice that no page has shown is forgotten.
const LIFE_SECONDS: u64 = 60;

/// Sends the browser to a page of this host, which shows the sentence once.
pub(crate) fn done(to: &str, notice: impl Into<String>) -> Response {
    let text: String = notice.into().chars().take(MAX_LENGTH).collect();
    let mut response = redirect(to);
    let cookie = cookies::set(cookies::NOTICE, &URL_SAFE_NO_PAD.encode(text), Some(LIFE_SECONDS));
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

/// Sends the browser to a page, with GET.
pub(super) fn redirect(to: &str) -> Response {
    let to = HeaderValue::from_str(to).unwrap_or_else(|_| HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// Returns the notice that a request carries.
pub(super) fn read(headers: &HeaderMap) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cookies::read(headers, cookies::NOTICE)?).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    (!text.is_empty() && domain::is_clean(&text)).then_some(text)
}
