//! Page on which a visitor chooses an issuer. A single issuer is opened without a click, once in half a minute.

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use domain::Problem;
use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::address::safe_return;
use crate::{
    app::AppState,
    body::Params,
    ui::{UiResult, assets, cookies, notice},
};

/// Seconds in which a browser is sent to an issuer without a click only once.
const RETRY_SECONDS: u64 = 30;

#[derive(Debug, Deserialize)]
pub(super) struct ChooseParams {
    to: Option<String>,
    reason: Option<String>,
    /// Issuer of a session that has just ended.
    issuer: Option<String>,
}

#[derive(Template)]
#[template(path = "sign-in.html")]
struct SignInPage {
    assets: assets::AssetUrls,
    issuers: Vec<Choice>,
    /// Sentence about the last attempt or the end of a session.
    reason: Option<String>,
    is_failure: bool,
    /// The issuer at which the person may still be signed in, with its page to sign out.
    elsewhere: Option<Choice>,
}

/// A button of one issuer.
struct Choice {
    issuer: String,
    name: String,
    link: String,
}

/// Shows the issuers.
pub(super) async fn show(
    State(app): State<AppState>,
    headers: HeaderMap,
    Params(params): Params<ChooseParams>,
) -> UiResult<Response> {
    let to = safe_return(params.to.as_deref());
    let choices = choices(&app, &to, false);
    let tried = cookies::read(&headers, cookies::TRIED).is_some();
    let is_chosen = matches!(params.reason.as_deref(), Some("signed-out" | "signed-out-everywhere"));
    if let ([only], false, false) = (choices.as_slice(), tried, is_chosen) {
        let mut response = notice::redirect(&only.link);
        let cookie = cookies::set(cookies::TRIED, "1", Some(RETRY_SECONDS));
        response.headers_mut().append(header::SET_COOKIE, cookie);
        return Ok(response);
    }
    let reason = params.reason.as_deref().and_then(|reason| match reason {
        "ended" => Some("Your session has ended. Sign in again to go on."),
        "signed-out" => {
            Some("You are signed out here. At your identity provider you may still be signed in.")
        }
        "signed-out-everywhere" => Some(
            "All your sessions here have ended, on every device. At your identity provider you may still be signed in.",
        ),
        _ => None,
    });
    let elsewhere = match params.issuer.as_deref().filter(|_| is_chosen) {
        Some(issuer) => elsewhere(&app, issuer).await,
        None => None,
    };
    Ok(sign_in_page(StatusCode::OK, choices, reason.map(str::to_owned), Outcome::Asked { elsewhere }))
}

/// Returns the page about a sign-in that failed, with the buttons to try again.
pub(super) fn failed(app: &AppState, problem: &Problem, to: &str) -> Response {
    let status = StatusCode::from_u16(problem.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
    sign_in_page(status, choices(app, to, true), Some(problem.detail.clone()), Outcome::Failed)
}

/// What happened before the page.
enum Outcome {
    /// A sign-in failed.
    Failed,
    /// Nothing, or the end of a session.
    Asked { elsewhere: Option<Choice> },
}

/// Returns the page on which the person signs out at their issuer. An issuer without one, or that does not answer, changes
/// nothing about the end of the session here.
async fn elsewhere(app: &AppState, issuer: &str) -> Option<Choice> {
    let link = app.code_flow.end_session_url(issuer).await?;
    Some(Choice { issuer: issuer.to_owned(), name: shown_name(app, issuer), link: link.into() })
}

fn sign_in_page(
    status: StatusCode,
    issuers: Vec<Choice>,
    reason: Option<String>,
    outcome: Outcome,
) -> Response {
    let (is_failure, elsewhere) = match outcome {
        Outcome::Failed => (true, None),
        Outcome::Asked { elsewhere } => (false, elsewhere),
    };
    let page = SignInPage { assets: assets::urls(), issuers, reason, is_failure, elsewhere };
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Returns the buttons. `choose_account` asks the issuer which account to use.
fn choices(app: &AppState, to: &str, choose_account: bool) -> Vec<Choice> {
    let choice = |issuer: &str| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("issuer", issuer).append_pair("to", to);
        if choose_account {
            query.append_pair("choose", "true");
        }
        Choice {
            issuer: issuer.to_owned(),
            name: shown_name(app, issuer),
            link: format!("/session/start?{}", query.finish()),
        }
    };
    app.code_flow.issuers().map(choice).collect()
}

/// Returns the name of an issuer in the settings, or its host if it has none.
fn shown_name(app: &AppState, issuer: &str) -> String {
    let name = app.verifier.name_of(issuer).unwrap_or_default();
    if name != "default" && !name.starts_with("issuer-") {
        return name.to_owned();
    }
    let url = Url::parse(issuer).ok();
    url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| issuer.to_owned())
}
