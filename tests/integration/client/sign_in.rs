//! `rts login` with a code, and the session that it keeps.

use std::{
    collections::HashMap,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{Scene, serve};

/// A service and its identity provider on one address.
#[derive(Default)]
struct Provider {
    url: std::sync::OnceLock<String>,
    questions: AtomicUsize,
    refreshes: AtomicUsize,
    /// Scopes that the code was asked for.
    scopes: std::sync::Mutex<String>,
    /// Challenge and redirect of the sign-in page that was opened last.
    asked: std::sync::Mutex<(String, String)>,
}

type Shared = State<Arc<Provider>>;

async fn start() -> Arc<Provider> {
    let provider = Arc::new(Provider::default());
    let router = Router::new()
        .route("/api/v1/auth/config", get(config))
        .route("/api/v1/auth/me", get(me))
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/device", post(device))
        .route("/authorize", get(authorize))
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
        "authorization_endpoint": format!("{url}/authorize"),
    }))
}

/// Signs the person in at once and sends the browser back, as RFC 6749 and RFC 9207 describe it.
async fn authorize(State(provider): Shared, Query(asked): Query<HashMap<String, String>>) -> Redirect {
    let has = |name: &str, value: &str| asked[name] == value;
    assert!(
        has("client_id", "rts-cli") && has("response_type", "code") && has("audience", "rts"),
        "{asked:?}"
    );
    assert!(has("code_challenge_method", "S256") && has("scope", "openid"), "{asked:?}");
    let redirect = &asked["redirect_uri"];
    assert!(redirect.starts_with("http://127.0.0.1:"), "{redirect}");
    *provider.asked.lock().unwrap() = (asked["code_challenge"].clone(), redirect.clone());
    let url = provider.url.get().unwrap();
    Redirect::to(&format!("{redirect}?code=web-code&state={}&iss={url}", asked["state"]))
}

/// Returns the members of a form or a query.
fn members_of(form: &str) -> HashMap<String, String> {
    let url = reqwest::Url::parse(&format!("http://form.example/?{form}")).unwrap();
    url.query_pairs().into_owned().collect()
}

/// Answers an authorization code with a token, if the program proves that it asked for the code.
fn redeem(provider: &Provider, form: &str) -> Response {
    let members: HashMap<String, String> = members_of(form);
    let (challenge, redirect) = provider.asked.lock().unwrap().clone();
    let hash = domain::sha256_hex(members["code_verifier"].as_bytes());
    let hash: Vec<u8> =
        (0..hash.len()).step_by(2).map(|at| u8::from_str_radix(&hash[at..at + 2], 16).unwrap()).collect();
    let proof = URL_SAFE_NO_PAD.encode(hash);
    assert_eq!((&proof, &members["redirect_uri"]), (&challenge, &redirect));
    assert_eq!((members["code"].as_str(), members["client_id"].as_str()), ("web-code", "rts-cli"));
    Json(json!({ "access_token": "web.access.token", "expires_in": 3600 })).into_response()
}

async fn device(State(provider): Shared, form: String) -> Json<Value> {
    let has = |name, value| has(&form, name, value);
    assert!(has("client_id", "rts-cli") && has("audience", "rts"), "{form:?}");
    provider.scopes.lock().unwrap().clone_from(&members_of(&form)["scope"]);
    let page = format!("{}/page", provider.url.get().unwrap());
    Json(json!({
        "device_code": "device-secret", "user_code": "WDJB-MJHT", "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code=WDJB-MJHT"), "expires_in": 60,
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
    if has("grant_type", "authorization_code") {
        return redeem(&provider, &form);
    }
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
        said.stderr.contains("/page?user_code=WDJB-MJHT and compare the code WDJB-MJHT")
            && said.stderr.contains("first.access.token"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("device-secret") && !said.stderr.contains("refresh-1"), "{}", said.stderr);
    assert_eq!(provider.questions.load(Ordering::SeqCst), 2);
    assert_eq!(*provider.scopes.lock().unwrap(), "openid");
    for _ in 0..2 {
        let me = scene.run_with("", &["whoami", "-o", "json"], &bare).await.expect(0).json();
        assert_eq!(me["identity"], "second.access.token");
    }
    assert_eq!(provider.refreshes.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn scopes_of_the_caller_replace_those_of_the_service() {
    let scene = Scene::new().await;
    let provider = start().await;
    let login = ["login", "--url", provider.url.get().unwrap(), "--scopes"];
    let with = async |more: &[&str]| scene.run("", &[&login[..], more].concat()).await;
    with(&["openid,offline_access"]).await.expect(0);
    assert_eq!(*provider.scopes.lock().unwrap(), "openid offline_access");
    for bad in [&["openid email"][..], &["openid,"], &["openid", "--with-token"]] {
        with(bad).await.expect(2);
    }
}

#[tokio::test]
async fn browser_signs_in_by_a_loopback_redirect() {
    let scene = Scene::new().await;
    let provider = start().await;
    let url = provider.url.get().unwrap();
    let mut command = tokio::process::Command::new(scene.world.rts());
    command.args(["login", "--web", "--url", url]).env_clear().env("HOME", scene.world.folder());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut login = command.spawn().unwrap();
    let mut remarks = BufReader::new(login.stderr.take().unwrap()).lines();
    let page = loop {
        let line = remarks.next_line().await.unwrap().unwrap();
        if line.starts_with(url) {
            break line;
        }
    };
    let browser = reqwest::Client::builder().no_proxy().build().unwrap();
    // Another page of the browser finds the port, and knows no state.
    let query: HashMap<String, String> = members_of(page.split_once('?').unwrap().1);
    for forged in ["/", "/callback?code=evil", "/callback?code=evil&state=guess"] {
        let address = query["redirect_uri"].trim_end_matches("/callback");
        assert_eq!(browser.get(format!("{address}{forged}")).send().await.unwrap().status(), 404, "{forged}");
    }
    let done = browser.get(&page).send().await.unwrap();
    assert_eq!(done.status(), 200);
    assert!(done.text().await.unwrap().contains("Go back to the terminal"));
    assert_eq!(login.wait().await.unwrap().code(), Some(0));
    let me = scene.run_with("", &["whoami", "-o", "json"], &[("RTS_URL", "")]).await.expect(0).json();
    assert_eq!(me["identity"], "web.access.token");
}

#[tokio::test]
async fn service_says_where_to_sign_in_without_a_token() {
    let scene = Scene::new().await;
    let answer = scene.world.ask("GET", "/auth/config").send().await.assert_status(200).body;
    let expected = json!({ "issuers": [{
        "issuer": scene.world.issuer().url(), "client_id": "rts-cli", "scopes": ["openid", "email"],
        "audience": "runner-tokens",
    }], "token_audience": "runner-tokens" });
    assert_eq!(answer, expected);
    let words = ["login", "--url", scene.world.url(), "--issuer", "https://other.example.com"];
    let refused = scene.run("", &words).await.expect(2);
    assert!(refused.stderr.contains("--with-token"), "{}", refused.stderr);
}
