//! Refusals as pages.

use askama::Template;
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{Html, IntoResponse, Response},
};
use chrono::Utc;
use domain::{Picture, Problem, ProblemCode, Verdict, VerdictLevel};
use operations::OperationError;
use queue::QueueError;
use store::StoreError;

use super::{assets, cookies, headers, notice};
use crate::error::ApiError;

/// Longest page to return to after a sign-in, in bytes.
const MAX_RETURN: usize = 1500;

/// Result of a handler of the dashboard.
pub(crate) type UiResult<T> = Result<T, UiError>;

/// Refusal of a page or an action.
#[derive(Debug)]
pub(crate) struct UiError(Box<Refusal>);

#[derive(Debug)]
enum Refusal {
    /// A page about the problem.
    Problem(Problem),
    /// The visitor must sign in first. `ended` if their cookie is of no open session.
    SignIn { to: String, is_fragment: bool, ended: bool },
}

/// Sentence of a refusal, for a request that wants only a part of a page.
#[derive(Clone, Debug)]
pub(super) struct RefusedFragment(String);

/// Sentence of a refusal in place of the part of a page.
#[derive(Template)]
#[template(ext = "html", source = r#"<p class="field-error" role="alert">{{ sentence }}</p>"#)]
struct Sentence<'a> {
    sentence: &'a str,
}

impl RefusedFragment {
    /// Returns the part of a page that says the sentence.
    pub(super) fn render(&self) -> String {
        Sentence { sentence: &self.0 }.render().unwrap_or_default()
    }
}

/// Page about a problem.
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    assets: assets::AssetUrls,
    problem: &'a Problem,
    status: u16,
    title: &'static str,
    is_api: bool,
    /// The verdict if the whole service stands still: the page and its tab are an alarm then.
    stopped: Option<String>,
    favicon: &'static str,
}

impl UiError {
    /// Returns whether it says that the database does not answer.
    pub(super) fn is_database_away(&self) -> bool {
        matches!(&*self.0, Refusal::Problem(problem) if problem.code == ProblemCode::DatabaseUnavailable)
    }

    /// Returns the refusal of a request without a session. A GET goes to the sign-in and comes back.
    pub(super) fn needs_session(parts: &Parts, ended: bool) -> Self {
        if !parts.method.is_safe() {
            let detail = "You are not signed in, or your session has ended; nothing was changed. Sign in, then press the \
                button again.";
            return Problem::new(ProblemCode::SessionNeeded, detail).into();
        }
        let is_fragment = parts.headers.contains_key("hx-request");
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let shown = parts.headers.get("hx-current-url").and_then(|url| path_of(url.to_str().ok()?));
        let to = if is_fragment { shown.unwrap_or_else(|| "/".to_owned()) } else { path.to_owned() };
        Self(Box::new(Refusal::SignIn { to, is_fragment, ended }))
    }
}

/// Returns path and query of a URL.
fn path_of(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    Some(url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path())))
}

macro_rules! from_errors {
    ($($kind:ty),+) => {$(
        impl From<$kind> for UiError {
            fn from(error: $kind) -> Self {
                Self(Box::new(Refusal::Problem(ApiError::from(error).0)))
            }
        }
    )+};
}
from_errors!(Problem, StoreError, OperationError, QueueError);

impl From<ApiError> for UiError {
    fn from(error: ApiError) -> Self {
        Self(Box::new(Refusal::Problem(error.0)))
    }
}

impl IntoResponse for UiError {
    fn into_response(self) -> Response {
        match *self.0 {
            Refusal::Problem(problem) => {
                let mut response = problem_page(&problem, false);
                response.extensions_mut().insert(RefusedFragment(problem.detail));
                response
            }
            Refusal::SignIn { to, is_fragment, ended } => sign_in(&to, is_fragment, ended),
        }
    }
}

/// Returns the page about a problem; `is_api` if a browser opened a path of the API.
pub(crate) fn problem_page(problem: &Problem, is_api: bool) -> Response {
    let status = StatusCode::from_u16(problem.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let page = ErrorPage {
        assets: assets::urls(),
        problem,
        status: status.as_u16(),
        title: problem.code.title(),
        is_api,
        stopped: (problem.code == ProblemCode::DatabaseUnavailable).then(database_away),
        favicon: assets::favicon(VerdictLevel::Stopped),
    };
    let mut response = match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => (status, problem.detail.clone()).into_response(),
    };
    if let Some(seconds) = problem.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    headers::add(&mut response);
    response
}

/// Returns the verdict while the database is away.
fn database_away() -> String {
    Verdict::of(&Picture::without_database(Utc::now())).sentence
}

/// Sends the browser to the sign-in. A fragment's request would show that page inside the old one, so htmx is asked to
/// leave the page.
fn sign_in(to: &str, is_fragment: bool, ended: bool) -> Response {
    let to = if to.len() <= MAX_RETURN { to } else { "/" };
    let to: String = url::form_urlencoded::byte_serialize(to.as_bytes()).collect();
    let url = format!("/sign-in?to={to}{}", if ended { "&reason=ended" } else { "" });
    let mut response = if is_fragment {
        let url = HeaderValue::from_str(&url).unwrap_or_else(|_| HeaderValue::from_static("/sign-in"));
        let mut headers = HeaderMap::new();
        headers.insert("hx-redirect", url);
        (StatusCode::UNAUTHORIZED, headers).into_response()
    } else {
        notice::redirect(&url)
    };
    if ended {
        response.headers_mut().append(header::SET_COOKIE, cookies::clear(cookies::SESSION));
    }
    response
}
