//! Endpoints of the issuer.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use dev_http::{hangup, keys::random_text};

use crate::{
    IssuerFault, Shared,
    code::{self, Exchange},
    keys::Key,
    locked, machine_claims,
};

/// Grant type for named users: no password, so for development only.
pub const PERSON_GRANT: &str = "urn:twin:person";

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A login that began on a device and must be confirmed in a browser.
#[derive(Clone)]
pub(crate) struct Device {
    code: String,
    user_code: String,
    person: Option<String>,
}

pub(crate) fn router(shared: Shared) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/jwks", get(jwks))
        .route("/token", post(token))
        .route("/device/code", post(device_code))
        .route("/device", get(device))
        .route("/authorize", get(code::authorize))
        // This issuer keeps no sessions.
        .route("/end-session", get(async || "You are signed out."))
        .with_state(shared)
}

async fn discovery(State(shared): State<Shared>) -> Response {
    let (url, fault) = {
        let mut inner = locked(&shared);
        inner.fetches.discovery += 1;
        (inner.url.clone(), inner.discovery_fault.clone())
    };
    let wrong = matches!(fault, Some(IssuerFault::Wrong));
    let issuer = if wrong { "https://issuer.invalid" } else { url.as_str() };
    let algorithms = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];
    let document = json!({
        "issuer": issuer, "jwks_uri": format!("{url}/jwks"), "token_endpoint": format!("{url}/token"),
        "device_authorization_endpoint": format!("{url}/device/code"),
        "end_session_endpoint": format!("{url}/end-session"),
        "authorization_endpoint": format!("{url}/authorize"), "authorization_response_iss_parameter_supported": true,
        "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
        "grant_types_supported": ["authorization_code", "client_credentials", DEVICE_GRANT, PERSON_GRANT],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
    });
    spoilt(fault, document).await
}

async fn jwks(State(shared): State<Shared>) -> Response {
    let (keys, fault) = {
        let mut inner = locked(&shared);
        inner.fetches.jwks += 1;
        let keys: Vec<Value> = inner.keys.iter().map(Key::jwk).collect();
        (keys, inner.jwks_fault.clone())
    };
    let keys = if matches!(fault, Some(IssuerFault::Wrong)) { Vec::new() } else { keys };
    spoilt(fault, json!({"keys": keys})).await
}

async fn spoilt(fault: Option<IssuerFault>, mut right: Value) -> Response {
    match fault {
        None | Some(IssuerFault::Wrong) => {}
        Some(IssuerFault::Down) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(IssuerFault::Hangup) => return hangup(),
        Some(IssuerFault::Slow(time)) => tokio::time::sleep(time).await,
        Some(IssuerFault::Huge(bytes)) => right["padding"] = json!("x".repeat(bytes)),
        Some(IssuerFault::Malformed) => {
            return ([("content-type", "application/json")], "{\"keys\": [").into_response();
        }
    }
    Json(right).into_response()
}

fn refused(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error}))).into_response()
}

fn form(body: &[u8], name: &str) -> String {
    let found = url::form_urlencoded::parse(body).find(|(n, _)| n == name);
    found.map(|(_, v)| v.into_owned()).unwrap_or_default()
}

/// Returns id and secret of a machine client, from the header or the form.
fn client(headers: &HeaderMap, body: &[u8]) -> (String, String) {
    let basic = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()?.strip_prefix("Basic "));
    let pair = basic.and_then(|b| String::from_utf8(STANDARD.decode(b).ok()?).ok());
    match pair.as_deref().and_then(|p| p.split_once(':')) {
        Some((id, secret)) => (id.to_owned(), secret.to_owned()),
        None => (form(body, "client_id"), form(body, "client_secret")),
    }
}

async fn token(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let mut inner = locked(&shared);
    inner.fetches.tokens += 1;
    let claims = match form(&body, "grant_type").as_str() {
        "client_credentials" => {
            let (id, secret) = client(&headers, &body);
            if !inner.config.clients.iter().any(|c| c.id == id && c.secret == secret) {
                return refused(StatusCode::UNAUTHORIZED, "invalid_client");
            }
            machine_claims(&id)
        }
        PERSON_GRANT => {
            let name = [form(&body, "sub"), form(&body, "email")].into_iter().find(|n| !n.is_empty());
            match inner.person_claims(&name.unwrap_or_default()) {
                Some(claims) => claims,
                None => return refused(StatusCode::BAD_REQUEST, "invalid_grant"),
            }
        }
        "authorization_code" => {
            let exchange = Exchange {
                code: form(&body, "code"),
                client_id: form(&body, "client_id"),
                redirect_uri: form(&body, "redirect_uri"),
                verifier: form(&body, "code_verifier"),
            };
            match inner.exchange(&exchange) {
                Some(claims) => claims,
                None => return refused(StatusCode::BAD_REQUEST, "invalid_grant"),
            }
        }
        DEVICE_GRANT => {
            let code = form(&body, "device_code");
            let Some(at) = inner.devices.iter().position(|d| d.code == code) else {
                return refused(StatusCode::BAD_REQUEST, "expired_token");
            };
            let Some(person) = inner.devices[at].person.clone() else {
                return refused(StatusCode::BAD_REQUEST, "authorization_pending");
            };
            inner.devices.remove(at);
            inner.person_claims(&person).unwrap_or_default()
        }
        _ => return refused(StatusCode::BAD_REQUEST, "unsupported_grant_type"),
    };
    let Ok(text) = inner.token(&claims) else {
        return refused(StatusCode::INTERNAL_SERVER_ERROR, "server_error");
    };
    let life = inner.config.life.as_secs();
    let body = json!({"access_token": text, "id_token": text, "token_type": "Bearer", "expires_in": life});
    ([("cache-control", "no-store")], Json(body)).into_response()
}

async fn device_code(State(shared): State<Shared>) -> Response {
    let mut inner = locked(&shared);
    let user_code: String = random_text(8).to_uppercase().replace(['-', '_'], "X");
    let device = Device { code: random_text(40), user_code: user_code.clone(), person: None };
    let (code, page) = (device.code.clone(), format!("{}/device", inner.url));
    // The oldest unfinished login is dropped to make room.
    if inner.devices.len() >= 1000 {
        inner.devices.remove(0);
    }
    inner.devices.push(device);
    Json(json!({
        "device_code": code, "user_code": user_code, "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={user_code}"), "expires_in": 900, "interval": 1,
    }))
    .into_response()
}

#[derive(Deserialize)]
struct Confirm {
    #[serde(default)]
    user_code: String,
    person: Option<String>,
}

/// Without `person` lists the users; with it confirms the login of the device.
async fn device(State(shared): State<Shared>, Query(q): Query<Confirm>) -> Response {
    let mut inner = locked(&shared);
    let names: Vec<String> = inner.config.people.iter().map(|p| p.sub.clone()).collect();
    let Some(found) = inner.devices.iter_mut().find(|d| d.user_code == q.user_code) else {
        return (StatusCode::NOT_FOUND, "unknown code\n").into_response();
    };
    match q.person.filter(|p| names.contains(p)) {
        Some(person) => {
            found.person = Some(person);
            "logged in: you may close this page\n".into_response()
        }
        None => {
            format!("add &person=NAME to the address; NAME is one of: {}\n", names.join(", ")).into_response()
        }
    }
}
