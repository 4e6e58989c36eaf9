//! A small token issuer for these tests: keys, tokens and a loopback server with switches.

use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use runtime::{Clock, FixedClock, config::IssuerPolicy};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use super::super::{HttpSettings, TrustedIssuer, Verifier};

pub(super) const NOW: i64 = 1_800_000_000;

pub(super) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap()
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A private key.
pub(super) enum TestKey {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(&'static rsa::KeyPair),
}

impl TestKey {
    pub(super) fn p256() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(super) fn p384() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
    }

    pub(super) fn ed25519() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    /// Returns the RSA key shared by the whole test process, because generating one is slow.
    pub(super) fn rsa() -> Self {
        static KEY: OnceLock<rsa::KeyPair> = OnceLock::new();
        Self::Rsa(KEY.get_or_init(|| rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap()))
    }

    pub(super) fn jwk(&self, kid: &str) -> Value {
        let mut jwk = match self {
            Self::Ec(key) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
            }
            Self::Ed(key) => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key())}),
            Self::Rsa(key) => {
                let (n, e) = (key.public_key().modulus(), key.public_key().exponent());
                let bytes = [n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero()];
                json!({"kty": "RSA", "n": encode(bytes[0]), "e": encode(bytes[1])})
            }
        };
        jwk["kid"] = json!(kid);
        jwk
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ec(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let padding: &'static dyn signature::RsaEncoding = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut signed = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message, &mut signed).unwrap();
                signed
            }
        }
    }

    /// Returns a compact JWS with exactly this header and these claims.
    pub(super) fn token(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signed = self.sign(header["alg"].as_str().unwrap_or_default(), message.as_bytes());
        format!("{message}.{}", encode(signed))
    }
}

/// Response of the server to a request for keys.
#[derive(Clone)]
pub(super) enum Answer {
    Json(Value),
    Raw(Vec<u8>),
    Status(u16),
    /// 406 for clients that do not accept this type.
    OnlyAs(&'static str, Value),
    Never,
}

struct Switches {
    keys: Mutex<Answer>,
    discovery: Mutex<Answer>,
    key_hits: AtomicUsize,
    strays: AtomicUsize,
}

/// The issuer, its server on loopback, and a clock that only the test moves.
pub(super) struct TestIssuer {
    pub(super) url: String,
    pub(super) clock: FixedClock,
    time: Clock,
    switches: Arc<Switches>,
    server: JoinHandle<()>,
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl TestIssuer {
    pub(super) async fn start(keys: &[Value]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
        let switches = Arc::new(Switches {
            keys: Mutex::new(Answer::Json(json!({"keys": keys}))),
            discovery: Mutex::new(Answer::Json(discovery)),
            key_hits: AtomicUsize::new(0),
            strays: AtomicUsize::new(0),
        });
        let router = Router::new()
            .route("/keys", get(keys_route))
            .route("/.well-known/openid-configuration", get(discovery_route))
            .fallback(stray_route)
            .with_state(switches.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let (time, clock) = Clock::fixed(now());
        Self { url, clock, time, switches, server }
    }

    pub(super) fn trusted(&self) -> TrustedIssuer {
        TrustedIssuer {
            issuer: self.url.clone(),
            audiences: vec!["rts".to_owned(), "rts-too".to_owned()],
            jwks_url: None,
            name: "test".to_owned(),
            policy: IssuerPolicy { max_token_age: None, ..IssuerPolicy::default() },
        }
    }

    pub(super) fn verifier(&self) -> Verifier {
        self.verifier_with(self.trusted(), &HttpSettings::default())
    }

    pub(super) fn verifier_with(&self, trusted: TrustedIssuer, http: &HttpSettings) -> Verifier {
        Verifier::new(vec![trusted], http, self.time.clone()).unwrap()
    }

    pub(super) fn publish(&self, answer: Answer) {
        *self.switches.keys.lock().unwrap() = answer;
    }

    pub(super) fn publish_keys(&self, keys: &[Value]) {
        self.publish(Answer::Json(json!({"keys": keys})));
    }

    pub(super) fn discover(&self, answer: Answer) {
        *self.switches.discovery.lock().unwrap() = answer;
    }

    /// Returns how often keys were requested.
    pub(super) fn key_hits(&self) -> usize {
        self.switches.key_hits.load(Ordering::SeqCst)
    }

    /// Returns how often anything else was requested.
    pub(super) fn strays(&self) -> usize {
        self.switches.strays.load(Ordering::SeqCst)
    }

    /// Returns valid claims, for the test to modify.
    pub(super) fn claims(&self) -> Value {
        json!({"iss": self.url, "aud": "rts", "sub": "ada", "exp": NOW + 300, "iat": NOW, "nbf": NOW})
    }
}

async fn keys_route(State(switches): State<Arc<Switches>>, headers: HeaderMap) -> Response {
    switches.key_hits.fetch_add(1, Ordering::SeqCst);
    let answer = switches.keys.lock().unwrap().clone();
    let accepted = headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match answer {
        Answer::OnlyAs(kind, _) if !accepted.contains(kind) => respond(Answer::Status(406)).await,
        Answer::OnlyAs(_, value) => respond(Answer::Json(value)).await,
        answer => respond(answer).await,
    }
}

async fn discovery_route(State(switches): State<Arc<Switches>>) -> Response {
    let answer = switches.discovery.lock().unwrap().clone();
    respond(answer).await
}

async fn stray_route(State(switches): State<Arc<Switches>>) -> StatusCode {
    switches.strays.fetch_add(1, Ordering::SeqCst);
    StatusCode::NOT_FOUND
}

async fn respond(answer: Answer) -> Response {
    match answer {
        Answer::Json(value) => axum::Json(value).into_response(),
        Answer::Raw(bytes) => Body::from(bytes).into_response(),
        // The redirect has a target, so that a client that follows it is noticed.
        Answer::Status(code) => {
            (StatusCode::from_u16(code).unwrap(), [("location", "/stray")]).into_response()
        }
        Answer::OnlyAs(..) | Answer::Never => std::future::pending().await,
    }
}
