//! Installation tokens: one mint at a time, renewed in time, dropped when refused.

use std::{pin::Pin, sync::Arc, time::Instant};

use chrono::{DateTime, TimeDelta, Utc};
use domain::Secret;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::{
    call::{Call, Reply},
    classify,
    error::GitHubError,
    key::AppKey,
    wire::Wire,
};

/// A token is renewed this long before it ends, or a quarter of its life if that is less.
const MARGIN: TimeDelta = TimeDelta::minutes(5);
/// Clocks this far from GitHub's spoil a JWT.
const SKEW_SECONDS: u64 = 5;

/// An installation token with its end, by GitHub's clock.
#[derive(Clone, Debug)]
pub struct StoredToken {
    /// The token: opaque, of any length.
    pub token: Secret,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// What a [`TokenStore`] answers with.
pub type TokenFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whether a token is still good for use, and not the one that was refused.
pub type Fit<'a> = &'a (dyn Fn(&StoredToken) -> bool + Send + Sync);

/// A place where processes share one installation's token, so that each need not mint its own.
///
/// Asked only when this process holds none that is fit. The store seals what it keeps, bounds its own time, and on
/// failure behaves as if it were empty: a token can always be minted.
pub trait TokenStore: Send + Sync {
    /// The newest token of `installation`, if there is one that is `fit`. Without one, whoever is told so mints.
    fn get<'a>(&'a self, installation: u64, fit: Fit<'a>) -> TokenFuture<'a, Option<StoredToken>>;
    /// Replaces it.
    fn put(&self, installation: u64, token: StoredToken) -> TokenFuture<'_, ()>;
    /// The mint that followed an empty [`TokenStore::get`] failed: another process may try.
    fn give_up(&self, installation: u64) -> TokenFuture<'_, ()> {
        let _ = installation;
        Box::pin(std::future::ready(()))
    }
}

/// The App: signs for itself, and mints for its installation.
pub(crate) struct AppTokens {
    key: Arc<AppKey>,
    pub(crate) installation_id: u64,
    store: Option<Arc<dyn TokenStore>>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    token: Option<StoredToken>,
    renew_at: DateTime<Utc>,
    /// The last failure, for those who were waiting for that very mint.
    failed: Option<(Instant, GitHubError)>,
}

#[derive(Deserialize)]
struct Minted {
    token: String,
    expires_at: DateTime<Utc>,
}

impl AppTokens {
    pub(crate) fn new(key: AppKey, installation_id: u64, store: Option<Arc<dyn TokenStore>>) -> Self {
        Self { key: Arc::new(key), installation_id, store, held: Mutex::default() }
    }

    /// A token fit for use and other than `rejected`. However many ask at once, one mints and all take its result.
    pub(crate) async fn token(&self, wire: &Wire, rejected: Option<&Secret>) -> Result<Secret, GitHubError> {
        let asked = Instant::now();
        let mut held = self.held.lock().await;
        let fit = |t: &StoredToken| rejected.is_none_or(|r| r.expose() != t.token.expose());
        if let Some(token) = held.token.as_ref().filter(|t| fit(t) && wire.clock.now() < held.renew_at) {
            return Ok(token.token.clone());
        }
        if let Some((_, error)) = held.failed.as_ref().filter(|(when, _)| *when >= asked) {
            return Err(error.clone());
        }
        let lasting = |t: &StoredToken| fit(t) && wire.clock.now() < t.expires_at - MARGIN;
        if let Some(token) = self.shared(&lasting).await {
            return Ok(held.take(token.expires_at - MARGIN, token));
        }
        match self.mint(wire).await {
            Ok(token) => {
                if let Some(store) = &self.store {
                    store.put(self.installation_id, token.clone()).await;
                }
                let now = wire.clock.now();
                Ok(held.take(token.expires_at - MARGIN.min((token.expires_at - now) / 4), token))
            }
            Err(error) => {
                if let Some(store) = &self.store {
                    store.give_up(self.installation_id).await;
                }
                held.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn shared(&self, fit: Fit<'_>) -> Option<StoredToken> {
        self.store.as_ref()?.get(self.installation_id, fit).await.filter(fit)
    }

    async fn mint(&self, wire: &Wire) -> Result<StoredToken, GitHubError> {
        let path = format!("/app/installations/{}/access_tokens", self.installation_id);
        let call = Call::post("create_installation_access_token", path);
        let minted = async {
            let reply = self.as_app(wire, &call).await?;
            call.parse::<Minted>(&reply)
        };
        let minted = minted.await.map_err(GitHubError::before_sending)?;
        Ok(StoredToken { token: Secret::new(minted.token), expires_at: minted.expires_at })
    }

    /// Sends `call` as the App itself. A 401 that taught us GitHub's clock is answered once, with a JWT by that clock.
    pub(crate) async fn as_app(&self, wire: &Wire, call: &Call) -> Result<Reply, GitHubError> {
        wire.admit(call).await?;
        let before = wire.clock.offset();
        let mut reply = wire.send(call, &self.jwt(wire).await?).await?;
        if reply.status == http::StatusCode::UNAUTHORIZED
            && before.abs_diff(wire.clock.offset()) > SKEW_SECONDS
        {
            tracing::warn!(seconds = wire.clock.offset(), "this machine's clock differs from GitHub's");
            reply = wire.send(call, &self.jwt(wire).await?).await?;
        }
        classify::check(call, reply, wire.clock.now())
    }

    async fn jwt(&self, wire: &Wire) -> Result<Secret, GitHubError> {
        let (key, now) = (Arc::clone(&self.key), wire.clock.now());
        let signed = tokio::task::spawn_blocking(move || key.sign(now)).await;
        Ok(signed.map_err(|_| GitHubError::Credential { reason: "signing was cut short".to_owned() })??)
    }
}

impl Held {
    fn take(&mut self, renew_at: DateTime<Utc>, token: StoredToken) -> Secret {
        let secret = token.token.clone();
        *self = Self { token: Some(token), renew_at, failed: None };
        secret
    }
}
