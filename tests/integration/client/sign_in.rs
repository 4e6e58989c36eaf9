//! `rts login` with a code, and the session that it keeps.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{Scene, serve};

/// A service and its identity provider on one address.
#[derive(Default)]
struct Provider {
    url: std::sync::OnceLock<String>,
    questions: AtomicUsize,
    refreshes: AtomicUsize,
}

type Shared = State<Arc<Provider>>;

async fn start() -> Arc<Provider> {
    let provider = Arc::new(Provider::default());
    let router = Router::new()
        .route("/api/v1/auth/config", get(config))
        .route("/api/v1/auth/me", get(me))
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/device", post(device))
        .route("/token", post(token))
        .with_state(provider.clone());
    provider.url.set(serve(router).await).unwrap();
    provider
}

async fn config(State(provider): Shared) -> Json<Value> {
    let url = provider.url.get().unwrap();
    Json(
        json!({ "issuers": [{ "issuer": url, "client_id": "rts-cli", "scopes": ["openid"], "audience": "rts" }] }),
    )
}

async fn discovery(State(provider): Shared) -> Json<Value> {
    let url = provider.url.get().unwrap();
    Json(json!({
        "issuer": url, "token_endpoint": format!("{url}/token"),
        "device_authorization_endpoint": format!("{url}/device"),
    }))
}

async fn device(State(provider): Shared, form: String) -> Json<Value> {
    let has = |name, value| has(&form, name, value);
    assert!(has("client_id", "rts-cli") && has("scope", "openid") && has("audience", "rts"), "{form:?}");
    let page = format!("{}/page", provider.url.get().unwrap());
    Json(json!({
        "device_code": "device-secret", "user_code": "WDJB-MJHT", "verification_uri": page, "expires_in": 60,
        "interval": 1,
    }))
}

/// Returns whether a form has this member; both are plain words.
fn has(form: &str, name: &str, value: &str) -> bool {
    form.split('&').any(|member| member == format!("{name}={value}"))
}

/// Answers that the person has not confirmed yet, then with a token that soon ends; a refreshed one ends in an hour.
async fn token(State(provider): Shared, form: String) -> Response {
    let has = |name, value| has(&form, name, value);
    if has("grant_type", "refresh_token") {
        assert!(has("refresh_token", "refresh-1") && has("client_id", "rts-cli"), "{form:?}");
        provider.refreshes.fetch_add(1, Ordering::SeqCst);
        return Json(json!({ "access_token": "second.access.token", "expires_in": 3600 })).into_response();
    }
    assert!(has("device_code", "device-secret"), "{form:?}");
    if provider.questions.fetch_add(1, Ordering::SeqCst) == 0 {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "authorization_pending" }))).into_response();
    }
    let issued =
        json!({ "access_token": "first.access.token", "refresh_token": "refresh-1", "expires_in": 30 });
    Json(issued).into_response()
}

async fn me(headers: HeaderMap) -> Json<Value> {
    let token = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    Json(json!({ "identity": token.replace("Bearer ", "") }))
}

#[tokio::test]
async fn code_signs_in_and_the_session_is_refreshed_once() {
    let scene = Scene::new().await;
    let provider = start().await;
    let url = provider.url.get().unwrap();
    let bare = [("RTS_URL", "")];
    let said = scene.run_with("", &["login", "--url", url], &bare).await.expect(0);
    assert!(
        said.stderr.contains("WDJB-MJHT") && said.stderr.contains("first.access.token"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("device-secret") && !said.stderr.contains("refresh-1"), "{}", said.stderr);
    assert_eq!(provider.questions.load(Ordering::SeqCst), 2);
    for _ in 0..2 {
        let me = scene.run_with("", &["whoami", "-o", "json"], &bare).await.expect(0).json();
        assert_eq!(me["identity"], "second.access.token");
    }
    assert_eq!(provider.refreshes.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn service_says_where_to_sign_in_without_a_token() {
    let scene = Scene::new().await;
    let answer = scene.world.ask("GET", "/auth/config").send().await.assert_status(200).body;
    let expected = json!({ "issuers": [{
        "issuer": scene.world.issuer().url(), "client_id": "rts-cli", "scopes": ["openid", "email"],
        "audience": "runner-tokens",
    }] });
    assert_eq!(answer, expected);
    let words = ["login", "--url", scene.world.url(), "--issuer", "https://other.example.com"];
    let refused = scene.run("", &words).await.expect(2);
    assert!(refused.stderr.contains("--with-token"), "{}", refused.stderr);
}
