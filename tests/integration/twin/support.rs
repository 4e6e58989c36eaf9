//! A minimal HTTP client of the twin.

use std::time::Duration;

use github_twin::{Twin, TwinConfig};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

pub(super) const RUNNERS: &str = "/orgs/acme/actions/runners";
pub(super) const JIT: &str = "/orgs/acme/actions/runners/generate-jitconfig";

pub(super) struct Github {
    pub(super) twin: Twin,
    pub(super) client: Client,
    pub(super) token: String,
}

/// A response with its body read.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    /// Body as JSON; `Null` when empty.
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }

    pub(super) fn number(&self, name: &str) -> i64 {
        self.header(name).unwrap().parse().unwrap()
    }

    pub(super) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or("")
    }
}

pub(super) fn client() -> Client {
    let builder = Client::builder().timeout(Duration::from_secs(30)).user_agent("test");
    builder.no_proxy().build().unwrap()
}

pub(super) fn jwt(private_pem: &str, claims: &Value) -> String {
    let key = EncodingKey::from_rsa_pem(private_pem.as_bytes()).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &key).unwrap()
}

pub(super) fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

impl Github {
    pub(super) async fn start() -> Self {
        Self::with(TwinConfig::default()).await
    }

    pub(super) async fn with(config: TwinConfig) -> Self {
        let mut github =
            Self { twin: Twin::start(config).await.unwrap(), client: client(), token: String::new() };
        github.token = github.mint().await;
        github
    }

    pub(super) fn app_jwt(&self) -> String {
        let claims = json!({"iss": "424242", "iat": now() - 60, "exp": now() + 300});
        jwt(self.twin.app_key().unwrap().private_pem(), &claims)
    }

    pub(super) async fn mint(&self) -> String {
        let reply = self.app("POST", "/app/installations/5151515/access_tokens", &Value::Null).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.body["token"].as_str().unwrap().to_owned()
    }

    pub(super) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.twin.url());
        self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), url)
    }

    /// Sends a request with the App's JWT.
    pub(super) async fn app(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.with_token(&self.app_jwt(), method, path, body).await
    }

    /// Sends a request with the installation token.
    pub(super) async fn call(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.with_token(&self.token, method, path, body).await
    }

    pub(super) async fn with_token(&self, token: &str, method: &str, path: &str, body: &Value) -> Reply {
        let mut request = self.request(method, path).bearer_auth(token);
        if !body.is_null() {
            request = request.json(body);
        }
        read(request).await.unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, &Value::Null).await
    }

    pub(super) async fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, &Value::Null).await
    }

    /// Requests a JIT config.
    pub(super) async fn jit(&self, name: &str) -> Reply {
        self.call("POST", JIT, &wanted(name)).await
    }

    /// Creates a runner and returns its id.
    pub(super) async fn runner(&self, name: &str) -> u64 {
        let reply = self.jit(name).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.body["runner"]["id"].as_u64().unwrap()
    }
}

pub(super) fn wanted(name: &str) -> Value {
    json!({"name": name, "runner_group_id": 1, "labels": ["self-hosted", "linux", "gpu"]})
}

/// Sends a request and reads the whole response; an error if the connection closes early.
pub(super) async fn read(request: RequestBuilder) -> reqwest::Result<Reply> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let bytes = answer.bytes().await?;
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    Ok(Reply { status, headers, body })
}
