//! Fake server with scripted responses and recorded requests, RSA keys, and a recording observer.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::AtomicUsize, atomic::Ordering},
    time::Duration,
};

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{TimeDelta, Utc};
use domain::Secret;
use github::{Credential, Exchange, GitHub, GitHubSettings, KeySource, Observer, Scope, TokenSource};
use http::{HeaderMap, Method};
use tokio::net::TcpListener;

/// One request, as received.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// Path and query, still encoded.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect()
    }
    pub(crate) fn bearer(&self) -> &str {
        self.all("authorization")[0].strip_prefix("Bearer ").unwrap()
    }
    pub(crate) fn is_mint(&self) -> bool {
        self.path.ends_with("/access_tokens")
    }
}

/// A scripted response.
pub(crate) enum Give {
    Status(u16, Vec<(&'static str, String)>, String),
    /// No response, ever.
    Nothing,
}

pub(crate) fn give(status: u16, body: impl Into<String>) -> Give {
    Give::Status(status, vec![], body.into())
}

impl Give {
    pub(crate) fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        match self {
            Self::Status(status, mut headers, body) => {
                headers.push((name, value.into()));
                Self::Status(status, headers, body)
            }
            Self::Nothing => Self::Nothing,
        }
    }
}

/// Returns a successful response to the `n`th mint.
pub(crate) fn minted(n: usize, life: TimeDelta) -> Give {
    let expires_at = (Utc::now() + life).to_rfc3339();
    give(201, format!(r#"{{"token":"ghs_token_{n}","expires_at":"{expires_at}","permissions":{{}}}}"#))
}

/// Returns the `date` of a response this many seconds from now.
pub(crate) fn date(seconds: i64) -> String {
    (Utc::now() + TimeDelta::seconds(seconds)).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Returns a successful response to a request for a JIT config, and the config in it.
pub(crate) fn jit_answer(id: i64, name: &str) -> (String, String) {
    let settings = STANDARD.encode(format!(r#"{{"AgentId":"{id}","AgentName":"{name}"}}"#));
    let config = STANDARD.encode(format!(r#"{{".runner":"{settings}",".credentials":"Y2FuYXJ5"}}"#));
    (format!(r#"{{"runner":{},"encoded_jit_config":"{config}"}}"#, runner(id, name)), config)
}

type Handler = dyn Fn(&Seen, usize) -> Give + Send + Sync;

#[derive(Clone)]
struct Shared {
    seen: Arc<Mutex<Vec<Seen>>>,
    mints: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
    mint: Arc<Handler>,
    call: Arc<Handler>,
}

/// The server, on a port of its own.
pub(crate) struct Fake {
    addr: SocketAddr,
    shared: Shared,
}

impl Fake {
    /// Starts a server that mints on every request; `call` answers all others (with the number of the call, from 1).
    pub(crate) async fn start(call: impl Fn(&Seen, usize) -> Give + Send + Sync + 'static) -> Self {
        Self::with_mint(|_, n| minted(n, TimeDelta::hours(1)), call).await
    }

    pub(crate) async fn with_mint(
        mint: impl Fn(&Seen, usize) -> Give + Send + Sync + 'static,
        call: impl Fn(&Seen, usize) -> Give + Send + Sync + 'static,
    ) -> Self {
        let shared = Shared {
            seen: Arc::default(),
            mints: Arc::default(),
            calls: Arc::default(),
            mint: Arc::new(mint),
            call: Arc::new(call),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let app = Router::new().fallback(answer).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { addr, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
    pub(crate) fn mints(&self) -> usize {
        self.shared.mints.load(Ordering::SeqCst)
    }
    /// Returns the requests other than mints.
    pub(crate) fn calls(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().iter().filter(|s| !s.is_mint()).cloned().collect()
    }
    /// Returns a client with a personal token.
    pub(crate) fn pat(&self) -> GitHub {
        client(pat_settings(&self.url()))
    }

    /// Returns a client with the credential of an App, and its key.
    pub(crate) fn app(&self) -> (GitHub, Key) {
        let key = Key::new();
        (client(app_settings(&self.url(), KeySource::Pem(Secret::new(key.pem.clone())))), key)
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let seen = Seen {
        method: parts.method,
        path: parts.uri.path_and_query().unwrap().to_string(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    shared.seen.lock().unwrap().push(seen.clone());
    let (handler, count) =
        if seen.is_mint() { (&shared.mint, &shared.mints) } else { (&shared.call, &shared.calls) };
    match handler(&seen, count.fetch_add(1, Ordering::SeqCst) + 1) {
        Give::Nothing => std::future::pending().await,
        Give::Status(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Body::from(body)).unwrap()
        }
    }
}

pub(crate) fn pat_settings(url: &str) -> GitHubSettings {
    settings(url, Credential::Pat(TokenSource::Text(Secret::new("ghp_canary"))))
}

pub(crate) fn app_settings(url: &str, private_key: KeySource) -> GitHubSettings {
    settings(url, Credential::App { app_id: "4711".into(), installation_id: 99, private_key })
}

fn settings(url: &str, credential: Credential) -> GitHubSettings {
    let mut settings = GitHubSettings::new(url.parse().unwrap(), Scope::Org("acme".into()), credential);
    settings.key_check_every = Duration::ZERO;
    settings
}

pub(crate) fn client(settings: GitHubSettings) -> GitHub {
    GitHub::new(settings, Arc::new(github::NoopObserver)).unwrap()
}

/// An RSA key pair.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) pem: String,
    public: Vec<u8>,
}

impl Key {
    pub(crate) fn new() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let text = STANDARD.encode(private.as_ref());
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|c| std::str::from_utf8(c).unwrap()).collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        Self { pem, public: pair.public_key().as_ref().to_vec() }
    }

    /// Returns the claims of a JWT signed with this key.
    pub(crate) fn open(&self, jwt: &str) -> Option<serde_json::Value> {
        let key = jsonwebtoken::DecodingKey::from_rsa_der(&self.public);
        let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        jsonwebtoken::decode(jwt, &key, &rules).ok().map(|data| data.claims)
    }
}

/// Observer that records all exchanges.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Vec<Exchange>>);

impl Memory {
    pub(crate) fn answers(&self) -> Vec<Exchange> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Memory {
    fn on_response(&self, answer: &Exchange) {
        self.0.lock().unwrap().push(answer.clone());
    }
}

pub(crate) fn runner(id: i64, name: &str) -> String {
    format!(
        r#"{{"id":{id},"name":"{name}","os":"unknown","status":"offline","busy":false,"new_field":{{"a":1}},
            "labels":[{{"id":1,"name":"self-hosted","type":"read-only"}},{{"name":"gpu"}}]}}"#
    )
}
