//! Begin of a sign-in: the browser goes to the issuer.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use domain::{Problem, ProblemCode, whole_seconds};
use oidc::AuthorizationRequest;
use serde::Deserialize;
use store::SignInRow;

use super::{
    address::{redirect_uri, safe_return},
    choose,
};
use crate::{
    app::AppState,
    body::Params,
    origin::RequestOrigin,
    ui::{UiResult, cookies, notice, random},
};

/// Time in which a person signs in at the issuer.
const LIFE: TimeDelta = TimeDelta::minutes(10);
/// That time in seconds, for the cookie.
const LIFE_SECONDS: u64 = 600;

#[derive(Debug, Deserialize)]
pub(super) struct StartParams {
    issuer: Option<String>,
    to: Option<String>,
    choose: Option<bool>,
}

/// Writes down what the answer must match, and sends the browser to the issuer.
pub(super) async fn begin(
    State(app): State<AppState>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    Params(params): Params<StartParams>,
) -> UiResult<Response> {
    if let Some(wait) = app.sign_in_limit().blocked(origin.ip) {
        let detail = "Too many sign-ins began at this address; wait a moment.";
        return Err(Problem::new(ProblemCode::RateLimited, detail).retry_after(whole_seconds(wait)).into());
    }
    app.sign_in_limit().count(origin.ip, 1);
    let to = safe_return(params.to.as_deref());
    let issuer =
        params.issuer.or_else(|| app.code_flow.issuers().next().map(str::to_owned)).unwrap_or_default();
    let redirect_uri = redirect_uri(&app, &headers)?;
    let (state, browser, nonce, verifier) = (random::text(), random::text(), random::text(), random::text());
    let challenge = URL_SAFE_NO_PAD.encode(random::hash(&verifier));
    let request = AuthorizationRequest {
        redirect_uri: &redirect_uri,
        state: &state,
        nonce: &nonce,
        challenge: &challenge,
        choose_account: params.choose.unwrap_or_default(),
    };
    let url = match app.code_flow.authorization_url(&issuer, &request).await {
        Ok(url) => url,
        Err(error) => {
            let problem = super::callback::problem_of(&issuer, &error);
            return Ok(choose::failed(&app, &problem, &to));
        }
    };
    let row = SignInRow {
        browser_hash: random::hash(&browser),
        issuer,
        redirect_uri,
        nonce,
        pkce_verifier: verifier,
        return_to: to,
    };
    app.store.conn().await?.sign_ins().insert(&random::hash(&state), &row, LIFE).await?;
    let mut response = notice::redirect(url.as_str());
    let cookie: HeaderValue = cookies::set(cookies::SIGN_IN, &browser, Some(LIFE_SECONDS));
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}
