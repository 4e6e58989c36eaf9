//! A small OIDC issuer for development and tests: users and machine clients get tokens without passwords.
//!
//! It serves a discovery document, a key set, a token endpoint, the device flow and the authorization code flow. Tests can rotate its keys, break its
//! documents and sign tokens with any header and claims.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use dev_issuer::{Issuer, IssuerConfig};
//! let issuer = Issuer::start(IssuerConfig::default()).await.unwrap();
//! // Configure the service with the issuer issuer.url(), then call it with this token:
//! let token = issuer.person_token("ada").unwrap();
//! assert_eq!(token.split('.').count(), 3);
//! # });
//! ```

mod code;
mod keys;
mod server;

use std::{
    fmt::{self, Debug, Formatter},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use self::server::PERSON_GRANT;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
pub use jsonwebtoken::Algorithm;
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::keys::Key;

/// Error of making a key or a token.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The crypto library could not create or export a key.
    #[error("no key could be made")]
    Unmade,
    /// A key, header or claim set could not be used for signing.
    #[error("cannot sign")]
    Sign(#[from] jsonwebtoken::errors::Error),
    /// No key or user has this name.
    #[error("unknown key id")]
    UnknownKey,
}

impl From<dev_http::keys::KeyError> for KeyError {
    fn from(_: dev_http::keys::KeyError) -> Self {
        Self::Unmade
    }
}

/// A machine client that may request tokens with its id and secret.
#[derive(Clone)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    pub secret: String,
}

/// A user who gets tokens by name alone.
#[derive(Clone, Debug)]
pub struct Person {
    /// `sub` of the tokens.
    pub sub: String,
    /// `email` of the tokens.
    pub email: String,
    /// `name` of the tokens.
    pub name: String,
}

/// Settings of an issuer. `IssuerConfig::default()` is ready to start.
#[derive(Clone)]
pub struct IssuerConfig {
    /// Listen address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// `aud` of the tokens.
    pub audience: String,
    /// Machine clients.
    pub clients: Vec<Client>,
    /// Users.
    pub people: Vec<Person>,
    /// Algorithms; one key for each, the first one signs.
    pub algorithms: Vec<Algorithm>,
    /// Lifetime of a token.
    pub life: Duration,
}

impl Default for IssuerConfig {
    fn default() -> Self {
        let person = |sub: &str, name: &str| Person {
            sub: sub.into(),
            email: format!("{sub}@example.com"),
            name: name.into(),
        };
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            audience: "runner-tokens".into(),
            clients: vec![Client { id: "ci".into(), secret: "ci-secret".into() }],
            people: vec![person("ada", "Ada"), person("bob", "Bob")],
            algorithms: vec![Algorithm::RS256],
            life: Duration::from_hours(1),
        }
    }
}

/// Fault of the discovery document or the key set.
#[derive(Clone, Debug, PartialEq)]
pub enum IssuerFault {
    /// Status 503.
    Down,
    /// The connection is closed without a response.
    Hangup,
    /// The correct response after this time.
    Slow(Duration),
    /// JSON of at least this many bytes.
    Huge(usize),
    /// A body that is not JSON.
    Malformed,
    /// Another issuer's name, or an empty key set.
    Wrong,
}

/// Fault of the authorization code flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInFault {
    /// The person refuses.
    Refused,
    /// The ID token has another nonce.
    OtherNonce,
    /// The ID token is for another client.
    OtherAudience,
    /// The answer names another issuer.
    OtherIssuer,
    /// The answer names no issuer.
    NoIssuer,
}

/// Signature of a hand-made token.
#[derive(Clone, Debug)]
pub enum Sign<'a> {
    /// The named key with this algorithm.
    With(Algorithm),
    /// HS256 with this secret, such as the text of a public key.
    Hmac(&'a [u8]),
    /// An empty signature.
    Nothing,
}

/// Numbers of fetches so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetches {
    /// Fetches of the discovery document.
    pub discovery: u64,
    /// Fetches of the key set.
    pub jwks: u64,
    /// Token requests.
    pub tokens: u64,
}

struct Inner {
    config: IssuerConfig,
    url: String,
    keys: Vec<Key>,
    made: usize,
    rsa_made: usize,
    discovery_fault: Option<IssuerFault>,
    jwks_fault: Option<IssuerFault>,
    fetches: Fetches,
    devices: Vec<server::Device>,
    codes: Vec<code::Code>,
    sign_in_fault: Option<SignInFault>,
}

type Shared = Arc<Mutex<Inner>>;

fn locked(shared: &Shared) -> MutexGuard<'_, Inner> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running issuer. Dropping it closes its port.
pub struct Issuer {
    shared: Shared,
    url: String,
    stop: DropGuard,
}

impl Debug for Issuer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Issuer {
    /// Generates the keys, opens the port and serves.
    ///
    /// # Errors
    /// When the port cannot be opened, or no key can be generated for an algorithm.
    pub async fn start(config: IssuerConfig) -> io::Result<Self> {
        let (listener, address) = dev_http::bind(config.listen).await?;
        let url = format!("http://{address}");
        let algorithms = config.algorithms.clone();
        let mut inner = Inner {
            config,
            url: url.clone(),
            keys: Vec::new(),
            made: 0,
            rsa_made: 0,
            discovery_fault: None,
            jwks_fault: None,
            fetches: Fetches::default(),
            devices: Vec::new(),
            codes: Vec::new(),
            sign_in_fault: None,
        };
        for alg in algorithms {
            inner.add_key(alg).map_err(io::Error::other)?;
        }
        let (shared, stop) = (Arc::new(Mutex::new(inner)), CancellationToken::new());
        dev_http::run(listener, address, server::router(shared.clone()), stop.clone());
        Ok(Self { shared, url, stop: stop.drop_guard() })
    }

    /// Returns the issuer's name, as in `iss`, without a trailing slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the URL of the key set.
    pub fn jwks_url(&self) -> String {
        format!("{}/jwks", self.url)
    }

    /// Returns a token signed with the first key. `claims` replace the default ones (`iss aud iat nbf exp jti`); `null`
    /// removes one.
    ///
    /// # Errors
    /// [`KeyError`] if signing fails.
    pub fn token(&self, claims: &Value) -> Result<String, KeyError> {
        locked(&self.shared).token(claims)
    }

    /// Returns a token of a configured user: `sub`, `email`, `email_verified`, `name`.
    ///
    /// # Errors
    /// [`KeyError::UnknownKey`] for an unknown user.
    pub fn person_token(&self, sub: &str) -> Result<String, KeyError> {
        let inner = locked(&self.shared);
        let claims = inner.person_claims(sub).ok_or(KeyError::UnknownKey)?;
        inner.token(&claims)
    }

    /// Returns a token as the machine client `client_id` would get it from the token endpoint.
    ///
    /// # Errors
    /// [`KeyError`] if signing fails.
    pub fn machine_token(&self, client_id: &str) -> Result<String, KeyError> {
        locked(&self.shared).token(&machine_claims(client_id))
    }

    /// Returns a token with exactly these header fields and claims, valid or not.
    ///
    /// # Errors
    /// [`KeyError::UnknownKey`], or a key that cannot sign by the algorithm.
    pub fn sign_with(
        &self,
        kid: &str,
        how: &Sign<'_>,
        header: &Value,
        claims: &Value,
    ) -> Result<String, KeyError> {
        let inner = locked(&self.shared);
        let key = inner.keys.iter().find(|k| k.kid == kid).ok_or(KeyError::UnknownKey)?;
        sign(&key.private, how, header, claims)
    }

    /// Returns the ids of the keys in the key set, the signing one first.
    pub fn kids(&self) -> Vec<String> {
        locked(&self.shared).keys.iter().map(|k| k.kid.clone()).collect()
    }

    /// Returns the id of the key for an algorithm.
    pub fn kid_for(&self, alg: Algorithm) -> Option<String> {
        locked(&self.shared).keys.iter().find(|k| k.alg == alg).map(|k| k.kid.clone())
    }

    /// Returns the PEM of an RSA key's public half, as an attacker can compute it from the key set.
    pub fn public_pem(&self, kid: &str) -> Option<String> {
        locked(&self.shared).keys.iter().find(|k| k.kid == kid)?.public_pem.clone()
    }

    /// Signs with a new key of this algorithm from now on; the old keys stay in the key set if `keep_old` is set. Returns
    /// the new id.
    ///
    /// # Errors
    /// [`KeyError`] if no key can be made.
    pub fn rotate(&self, alg: Algorithm, keep_old: bool) -> Result<String, KeyError> {
        let mut inner = locked(&self.shared);
        if !keep_old {
            inner.keys.clear();
        }
        inner.add_key(alg)?;
        inner.keys.rotate_right(1);
        Ok(inner.keys[0].kid.clone())
    }

    /// Sets the fault of the discovery document; `None` removes it.
    pub fn fault_discovery(&self, fault: Option<IssuerFault>) {
        locked(&self.shared).discovery_fault = fault;
    }

    /// Sets the fault of the key set; `None` removes it.
    pub fn fault_jwks(&self, fault: Option<IssuerFault>) {
        locked(&self.shared).jwks_fault = fault;
    }

    /// Sets the fault of sign-ins; `None` removes it.
    pub fn fault_sign_in(&self, fault: Option<SignInFault>) {
        locked(&self.shared).sign_in_fault = fault;
    }

    /// Returns the fetches so far, failed ones included.
    pub fn fetches(&self) -> Fetches {
        locked(&self.shared).fetches
    }

    /// Closes the port, as dropping does.
    pub fn shutdown(self) {
        drop(self.stop);
    }
}

impl Inner {
    fn add_key(&mut self, alg: Algorithm) -> Result<(), KeyError> {
        let key = Key::make(format!("key-{}", self.made + 1), alg, self.rsa_made)?;
        self.made += 1;
        self.rsa_made += usize::from(key.public_pem.is_some());
        self.keys.push(key);
        Ok(())
    }

    fn token(&self, claims: &Value) -> Result<String, KeyError> {
        let now = Utc::now().timestamp();
        let life = i64::try_from(self.config.life.as_secs()).unwrap_or(3600);
        let mut all = json!({
            "iss": self.url, "aud": self.config.audience, "iat": now, "nbf": now, "exp": now + life,
            "jti": uuid::Uuid::new_v4().to_string(),
        });
        if let (Some(all), Some(extra)) = (all.as_object_mut(), claims.as_object()) {
            all.extend(extra.clone());
            all.retain(|_, v| !v.is_null());
        }
        let key = self.keys.first().ok_or(KeyError::UnknownKey)?;
        let header = json!({"alg": format!("{:?}", key.alg), "typ": "JWT", "kid": key.kid});
        sign(&key.private, &Sign::With(key.alg), &header, &all)
    }

    fn person_claims(&self, name: &str) -> Option<Value> {
        let person = self.config.people.iter().find(|p| p.sub == name || p.email == name)?;
        Some(json!({"sub": person.sub, "email": person.email, "email_verified": true, "name": person.name}))
    }
}

/// Returns the claims of a machine client, in the form that Auth0 uses.
fn machine_claims(client_id: &str) -> Value {
    json!({
        "sub": format!("{client_id}@clients"), "azp": client_id, "client_id": client_id,
        "gty": "client-credentials",
    })
}

fn sign(key: &EncodingKey, how: &Sign<'_>, header: &Value, claims: &Value) -> Result<String, KeyError> {
    let part = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = match how {
        Sign::With(alg) => jsonwebtoken::crypto::sign(message.as_bytes(), key, *alg)?,
        Sign::Hmac(secret) => {
            let key = EncodingKey::from_secret(secret);
            jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256)?
        }
        Sign::Nothing => String::new(),
    };
    Ok(format!("{message}.{signature}"))
}
