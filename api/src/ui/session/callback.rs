//! End of a sign-in: the issuer sends the browser back with a code.

use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::Response,
};
use chrono::TimeDelta;
use domain::{Caller, Origin, Problem, ProblemCode, error_chain, sanitized};
use oidc::{CodeAnswer, CodeFlowError};
use operations::{Actor, SessionStart};
use serde::Deserialize;
use store::SignInRow;

use super::choose;
use crate::{
    app::AppState,
    body::Params,
    caller::identify_person,
    error::ApiError,
    origin::RequestOrigin,
    ui::{UiError, UiResult, cookies, notice, random},
};

/// Longest code, in bytes.
const MAX_CODE: usize = 8 * 1024;

#[derive(Debug, Deserialize)]
pub(super) struct CallbackParams {
    state: Option<String>,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// Begins a session, or shows why there is none.
pub(super) async fn finish(
    State(app): State<AppState>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    Params(params): Params<CallbackParams>,
) -> UiResult<Response> {
    let (outcome, mut response) = match sign_in(&app, &origin, &headers, params).await {
        Ok((cookie, to)) => {
            let mut response = notice::redirect(&to);
            let cookie = cookies::set(cookies::SESSION, &cookie, Some(app.server.sessions.longest.as_secs()));
            response.headers_mut().append(header::SET_COOKIE, cookie);
            response.headers_mut().append(header::SET_COOKIE, cookies::clear(cookies::TRIED));
            ("ok", response)
        }
        Err(Failure::Refused { problem, to }) => ("refused", choose::failed(&app, &problem, &to)),
        Err(Failure::Broken(error)) => return Err(error),
    };
    metrics::counter!("rts_dashboard_sign_ins_total", "outcome" => outcome).increment(1);
    response.headers_mut().append(header::SET_COOKIE, cookies::clear(cookies::SIGN_IN));
    Ok(response)
}

enum Failure {
    /// The sign-in failed; another one may succeed.
    Refused { problem: Problem, to: String },
    /// The service failed.
    Broken(UiError),
}

impl<E: Into<UiError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

/// Returns the cookie of a new session and the page to return to.
async fn sign_in(
    app: &AppState,
    origin: &Origin,
    headers: &HeaderMap,
    params: CallbackParams,
) -> Result<(String, String), Failure> {
    let begun = take(app, headers, params.state.as_deref()).await?;
    let to = begun.return_to.clone();
    let refused = |problem: Problem| Failure::Refused { problem, to: to.clone() };
    if let Some(error) = params.error {
        let detail = match error.as_str() {
            "access_denied" => "The sign-in was cancelled at the identity provider.".to_owned(),
            _ => format!("The identity provider refused the sign-in: {}.", sanitized(&error)),
        };
        return Err(refused(Problem::new(ProblemCode::SignInFailed, detail)));
    }
    let code = params.code.filter(|code| (1..=MAX_CODE).contains(&code.len()));
    let code = code.ok_or_else(|| {
        let detail = "The identity provider sent no code; sign in again.";
        refused(Problem::new(ProblemCode::SignInFailed, detail))
    })?;
    let answer = CodeAnswer {
        code: &code,
        issuer: params.iss.as_deref(),
        redirect_uri: &begun.redirect_uri,
        nonce: &begun.nonce,
        verifier: &begun.pkce_verifier,
    };
    let token = app.code_flow.exchange(&begun.issuer, &answer).await;
    let token = token.map_err(|error| refused(problem_of(&begun.issuer, &error)))?;
    let caller = match identify_person(app, &token.facts(), origin).await {
        Ok(caller) => caller,
        Err(ApiError(problem)) if problem.code.status() < 500 => return Err(refused(problem)),
        Err(error) => return Err(error.into()),
    };
    Ok((begin(app, &caller, origin, headers).await?, to))
}

/// Returns the sign-in that this browser began, once.
async fn take(app: &AppState, headers: &HeaderMap, state: Option<&str>) -> Result<SignInRow, Failure> {
    let refusal = || Failure::Refused {
        problem: Problem::new(
            ProblemCode::SignInFailed,
            "This sign-in was used already, is older than ten minutes, or began in another browser or at another \
             address; sign in again.",
        ),
        to: "/".to_owned(),
    };
    let browser = cookies::read(headers, cookies::SIGN_IN).ok_or_else(refusal)?;
    let state = state.ok_or_else(refusal)?;
    let begun = app.store.conn().await?.sign_ins().take(&random::hash(state)).await?;
    begun.filter(|begun| begun.browser_hash == random::hash(browser)).ok_or_else(refusal)
}

async fn begin(app: &AppState, caller: &Caller, origin: &Origin, headers: &HeaderMap) -> UiResult<String> {
    let cookie = random::text();
    let old = cookies::read(headers, cookies::SESSION).map(random::hash);
    let start = SessionStart {
        hash: &random::hash(&cookie),
        replaces: old.as_deref(),
        idle: app.session_idle(),
        life: TimeDelta::from_std(app.server.sessions.longest).unwrap_or(TimeDelta::MAX),
    };
    app.operations().begin_session(Actor { caller, origin }, &start).await?;
    Ok(cookie)
}

/// Returns the problem of a sign-in that the issuer or its token did not let through.
pub(super) fn problem_of(issuer: &str, error: &CodeFlowError) -> Problem {
    let reason = error_chain(error);
    tracing::warn!(issuer, reason, "sign-in failed");
    let code = if error.is_outage() { ProblemCode::KeysUnavailable } else { ProblemCode::SignInFailed };
    let advice = if error.is_outage() { "try again shortly" } else { "sign in again, or ask an operator" };
    Problem::new(code, format!("The sign-in did not succeed: {reason}; {advice}."))
}
