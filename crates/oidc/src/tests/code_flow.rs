//! The authorization code flow against a scripted token endpoint.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::form_urlencoded;

use super::{
    super::{AuthorizationRequest, CodeAnswer, CodeClient, CodeFlow, CodeFlowError, HttpSettings, OidcError},
    issuer::{Answer, TestIssuer, TestKey},
};

const CLIENT: &str = "dash:board";

/// A request to the token endpoint: its `Authorization` and its form.
type Sent = (Option<String>, Vec<(String, String)>);

/// Requests to the token endpoint, and the ID token that it answers; without one it refuses.
#[derive(Default)]
struct Endpoint {
    requests: Mutex<Vec<Sent>>,
    token: Mutex<Option<String>>,
}

async fn token(State(endpoint): State<Arc<Endpoint>>, headers: HeaderMap, body: String) -> Response {
    let form =
        form_urlencoded::parse(body.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned()));
    let basic = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    endpoint.requests.lock().unwrap().push((basic, form.collect()));
    match endpoint.token.lock().unwrap().clone() {
        Some(token) => Json(json!({ "id_token": token, "token_type": "Bearer" })).into_response(),
        None => (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response(),
    }
}

struct Scene {
    issuer: TestIssuer,
    key: TestKey,
    endpoint: Arc<Endpoint>,
    url: String,
}

impl Scene {
    async fn start() -> Self {
        let key = TestKey::p256();
        let issuer = TestIssuer::start(&[key.jwk("k")]).await;
        let endpoint = Arc::new(Endpoint::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let router = Router::new().route("/token", post(token)).with_state(endpoint.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let scene = Self { issuer, key, endpoint, url };
        scene.discover(&json!({}));
        scene
    }

    /// Publishes a discovery document with these members more.
    fn discover(&self, more: &Value) {
        let url = &self.issuer.url;
        let mut document = json!({ "issuer": url, "jwks_uri": format!("{url}/keys"), "token_endpoint": self.url,
            "authorization_endpoint": format!("{url}/authorize?tenant=a") });
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.issuer.discover(Answer::Json(document));
    }

    fn flow(&self, secret_path: Option<PathBuf>) -> CodeFlow {
        let client =
            CodeClient { issuer: self.issuer.url.clone(), client_id: CLIENT.to_owned(), secret_path };
        CodeFlow::new(vec![client], &HttpSettings::default(), self.issuer.verifier()).unwrap()
    }

    /// Lets the token endpoint answer a token with these claims changed; null removes one.
    fn answer(&self, changes: &Value) {
        self.answer_with(&json!({ "alg": "ES256", "kid": "k", "typ": "JWT" }), changes);
    }

    fn answer_with(&self, header: &Value, changes: &Value) {
        let mut claims = self.issuer.claims();
        let map = claims.as_object_mut().unwrap();
        map.extend(json!({ "aud": CLIENT, "nonce": "n-1" }).as_object().unwrap().clone());
        map.extend(changes.as_object().unwrap().clone());
        map.retain(|_, value| !value.is_null());
        *self.endpoint.token.lock().unwrap() = Some(self.key.token(header, &claims));
    }

    async fn exchange(&self, flow: &CodeFlow, iss: Option<&str>) -> Result<String, CodeFlowError> {
        let answer = CodeAnswer {
            code: "c-1",
            issuer: iss,
            redirect_uri: "https://rts.example/session/callback",
            nonce: "n-1",
            verifier: "v-1",
        };
        flow.exchange(&self.issuer.url, &answer).await.map(|token| token.subject)
    }

    fn last(&self) -> Sent {
        self.endpoint.requests.lock().unwrap().last().unwrap().clone()
    }
}

/// Writes a file with a secret, and returns its path.
fn secret_file(secret: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("rts-secret-{:x}", rand::random::<u64>()));
    std::fs::write(&path, secret).unwrap();
    path
}

#[tokio::test]
async fn browser_is_sent_with_state_nonce_and_challenge() {
    let scene = Scene::start().await;
    let request = AuthorizationRequest {
        redirect_uri: "https://rts.example/session/callback",
        state: "s-1",
        nonce: "n-1",
        challenge: "h-1",
        choose_account: true,
    };
    let flow = scene.flow(None);
    let url = flow.authorization_url(&scene.issuer.url, &request).await.unwrap();
    let pairs: Vec<_> = url.query_pairs().map(|(name, value)| format!("{name}={value}")).collect();
    for pair in [
        "tenant=a",
        "response_type=code",
        "client_id=dash:board",
        "redirect_uri=https://rts.example/session/callback",
        "scope=openid email profile",
        "state=s-1",
        "nonce=n-1",
        "code_challenge=h-1",
        "code_challenge_method=S256",
        "prompt=select_account",
    ] {
        assert!(pairs.iter().any(|found| found == pair), "{pair}: {pairs:?}");
    }
    let unknown = flow.authorization_url("https://other.example", &request).await;
    assert!(matches!(unknown, Err(CodeFlowError::UnknownIssuer)));
}

#[tokio::test]
async fn secret_is_sent_as_the_issuer_takes_it() {
    let scene = Scene::start().await;
    scene.answer(&json!({}));
    assert_eq!(scene.exchange(&scene.flow(None), None).await.unwrap(), "ada");
    let (basic, form) = scene.last();
    assert_eq!(basic, None);
    for (name, value) in [
        ("grant_type", "authorization_code"),
        ("code", "c-1"),
        ("code_verifier", "v-1"),
        ("client_id", CLIENT),
    ] {
        assert!(form.contains(&(name.to_owned(), value.to_owned())), "{name}: {form:?}");
    }

    let path = secret_file("p:w %\n");
    scene.exchange(&scene.flow(Some(path.clone())), None).await.unwrap();
    let (basic, form) = scene.last();
    let pair = STANDARD.decode(basic.unwrap().strip_prefix("Basic ").unwrap()).unwrap();
    assert_eq!(String::from_utf8(pair).unwrap(), "dash%3Aboard:p%3Aw+%25");
    assert!(!form.iter().any(|(name, _)| name == "client_secret"), "{form:?}");

    scene.discover(&json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] }));
    scene.exchange(&scene.flow(Some(path.clone())), None).await.unwrap();
    let (basic, form) = scene.last();
    assert_eq!(basic, None);
    assert!(form.contains(&("client_secret".to_owned(), "p:w %".to_owned())), "{form:?}");

    std::fs::remove_file(&path).unwrap();
    let missing = scene.exchange(&scene.flow(Some(path)), None).await;
    assert!(matches!(missing, Err(CodeFlowError::Secret)), "{missing:?}");
}

#[tokio::test]
async fn id_token_of_another_sign_in_is_refused() {
    let scene = Scene::start().await;
    let flow = scene.flow(None);
    for changes in [
        json!({ "nonce": "n-2" }),
        json!({ "nonce": null }),
        json!({ "aud": "rts" }),
        json!({ "azp": "another-client" }),
        json!({ "iss": "https://other.example" }),
        json!({ "exp": 1 }),
        json!({ "sub": null }),
    ] {
        scene.answer(&changes);
        let refused = scene.exchange(&flow, None).await;
        assert!(matches!(refused, Err(CodeFlowError::Token(_))), "{changes}: {refused:?}");
    }
    // An access token for the same client is no ID token.
    scene.answer_with(&json!({ "alg": "ES256", "kid": "k", "typ": "at+jwt" }), &json!({}));
    let refused = scene.exchange(&flow, None).await;
    assert!(matches!(refused, Err(CodeFlowError::Token(OidcError::WrongKind(_)))), "{refused:?}");
    scene.answer(&json!({ "aud": [CLIENT, "other"], "azp": CLIENT }));
    assert_eq!(scene.exchange(&flow, None).await.unwrap(), "ada");
}

#[tokio::test]
async fn answer_of_another_issuer_is_refused_before_the_code_is_sent() {
    let scene = Scene::start().await;
    scene.answer(&json!({}));
    let other = scene.exchange(&scene.flow(None), Some("https://other.example")).await;
    assert!(matches!(other, Err(CodeFlowError::OtherIssuer)), "{other:?}");
    scene.discover(&json!({ "authorization_response_iss_parameter_supported": true }));
    let unnamed = scene.exchange(&scene.flow(None), None).await;
    assert!(matches!(unnamed, Err(CodeFlowError::OtherIssuer)), "{unnamed:?}");
    assert!(scene.endpoint.requests.lock().unwrap().is_empty());
    scene.exchange(&scene.flow(None), Some(&scene.issuer.url.clone())).await.unwrap();
}

#[tokio::test]
async fn refusal_and_outage_differ() {
    let scene = Scene::start().await;
    let refused = scene.exchange(&scene.flow(None), None).await.unwrap_err();
    assert_eq!(refused.to_string(), "the issuer refused the code: invalid_grant");
    assert!(!refused.is_outage());
    scene.discover(&json!({ "token_endpoint": format!("{}/away", scene.issuer.url) }));
    assert!(scene.exchange(&scene.flow(None), None).await.unwrap_err().is_outage());
    scene.discover(&json!({ "token_endpoint": null }));
    let none = scene.exchange(&scene.flow(None), None).await.unwrap_err();
    assert!(matches!(none, CodeFlowError::NoEndpoints), "{none:?}");
    scene.issuer.discover(Answer::Status(503));
    assert!(scene.exchange(&scene.flow(None), None).await.unwrap_err().is_outage());
}
