//! Installation tokens: one mint at a time, renewed in time, replaced only when they are void.
//!
//! GitHub may refuse a new token for some seconds, until all of its servers know it. A replacement would only be
//! another new token, and under load there would be a storm of mints. Therefore a token is never replaced within
//! [`NEW_TOKEN_GRACE`] of its minting.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use domain::Secret;
use serde::Deserialize;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    call::{Call, Reply},
    classify,
    error::GitHubError,
    key::AppKey,
    permissions::TokenRequest,
    transport::Transport,
};

/// Time before its end at which a token is renewed, or a quarter of its life if that is less.
const EXPIRY_MARGIN: TimeDelta = TimeDelta::minutes(5);
/// Time after minting during which a refused token may only be too new.
const NEW_TOKEN_GRACE: TimeDelta = TimeDelta::seconds(30);
/// Life of GitHub's tokens, from which the age of another process's token follows.
const TOKEN_LIFETIME: TimeDelta = TimeDelta::hours(1);
/// A token that ended longer ago than clocks differ was never valid.
const EXPIRED_MARGIN: TimeDelta = TimeDelta::minutes(1);
/// Difference from GitHub's clock that makes a JWT invalid.
const MAX_SKEW_SECONDS: u64 = 5;

/// An installation token with its end by GitHub's clock.
#[derive(Clone, Debug)]
pub struct StoredToken {
    /// The token: opaque, of any length.
    pub token: Secret,
    /// End of its life.
    pub expires_at: DateTime<Utc>,
}

/// Result of a [`TokenStore`].
pub type TokenFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whether a token is still usable and is not the refused one.
pub type Fit<'a> = &'a (dyn Fn(&StoredToken) -> bool + Send + Sync);

/// Store through which processes share one installation's token, so that not every process mints its own.
///
/// It is asked only if this process has no usable token. The store seals its values and limits its own time. On failure
/// it behaves as if it were empty, because a token can always be minted.
pub trait TokenStore: Send + Sync {
    /// Returns the newest token of `installation` if it is `fit`. A caller that gets `None` must mint one.
    fn get<'a>(&'a self, installation: u64, fit: Fit<'a>) -> TokenFuture<'a, Option<StoredToken>>;
    /// Stores a new token.
    fn put(&self, installation: u64, token: StoredToken) -> TokenFuture<'_, ()>;
    /// Reports that the mint after an empty [`TokenStore::get`] failed: another process may mint.
    fn give_up(&self, installation: u64) -> TokenFuture<'_, ()> {
        let _ = installation;
        Box::pin(std::future::ready(()))
    }
}

/// Credential of the App: signs its own requests, and mints tokens of its installation.
pub(crate) struct AppTokens {
    key: Arc<AppKey>,
    pub(crate) installation_id: u64,
    store: Option<Arc<dyn TokenStore>>,
    /// Permissions that a token must have.
    required: TokenRequest,
    held: Mutex<HeldToken>,
}

/// A token in use.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    /// Time of minting by GitHub's clock.
    minted_at: DateTime<Utc>,
    /// Whether it was obtained because the token before was refused.
    replacement: bool,
    /// Whether GitHub has accepted it in a response other than 401.
    accepted: Arc<AtomicBool>,
}

impl Token {
    fn new(secret: Secret, minted_at: DateTime<Utc>, replacement: bool) -> Self {
        Self { secret, minted_at, replacement, accepted: Arc::default() }
    }

    fn has_secret(&self, other: &Secret) -> bool {
        self.secret.expose() == other.expose()
    }

    /// Whether a refusal at this time may mean only that not all of GitHub's servers know the token.
    pub(crate) fn is_too_new(&self, now: DateTime<Utc>) -> bool {
        now - self.minted_at < NEW_TOKEN_GRACE
    }

    pub(crate) fn accept(&self) {
        self.accepted.store(true, Ordering::Relaxed);
    }

    /// Whether it replaced a refused token and was refused itself ever since: another token would not help.
    pub(crate) fn replaced_in_vain(&self) -> bool {
        self.replacement && !self.accepted.load(Ordering::Relaxed)
    }
}

/// The turn of this process to mint. If it is dropped before its end (the caller was cancelled), another process may
/// mint.
struct MintingTurn {
    store: Option<Arc<dyn TokenStore>>,
    installation: u64,
}

impl MintingTurn {
    fn end(mut self) {
        self.store = None;
    }
}

impl Drop for MintingTurn {
    fn drop(&mut self) {
        let Some(store) = self.store.take() else { return };
        let installation = self.installation;
        // Without a runtime the process is ending, and the turn's lock expires.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { store.give_up(installation).await });
        }
    }
}

/// Returns the wait before a token that is too new is tried again: 1 to 3 seconds.
pub(crate) fn settling_wait() -> Duration {
    let jitter = Uuid::new_v4().as_u128() % 2_000;
    Duration::from_millis(1_000 + u64::try_from(jitter).unwrap_or_default())
}

#[derive(Default)]
struct HeldToken {
    token: Option<Token>,
    /// The last void token, so that the store does not return it.
    void: Option<Secret>,
    renew_at: DateTime<Utc>,
    /// The last failure, for callers that were waiting for that mint.
    failed: Option<(Instant, GitHubError)>,
}

#[derive(Deserialize)]
struct Minted {
    token: String,
    expires_at: DateTime<Utc>,
}

impl AppTokens {
    pub(crate) fn new(
        key: AppKey,
        installation_id: u64,
        required: TokenRequest,
        store: Option<Arc<dyn TokenStore>>,
    ) -> Self {
        Self { key: Arc::new(key), installation_id, store, required, held: Mutex::default() }
    }

    /// Returns a usable token other than `rejected`. Of concurrent callers one mints, and all use its result.
    pub(crate) async fn token(
        &self,
        transport: &Transport,
        rejected: Option<&Token>,
    ) -> Result<Token, GitHubError> {
        let asked = Instant::now();
        let mut held = self.held.lock().await;
        let void = held.void.clone();
        let replaces = rejected.is_some() || void.is_some();
        let fit = |secret: &Secret| {
            rejected.is_none_or(|rejected| !rejected.has_secret(secret))
                && void.as_ref().is_none_or(|void| void.expose() != secret.expose())
        };
        let good = |token: &&Token| fit(&token.secret) && transport.clock.now() < held.renew_at;
        if let Some(token) = held.token.as_ref().filter(good) {
            return Ok(token.clone());
        }
        if let Some((_, error)) = held.failed.as_ref().filter(|(when, _)| *when >= asked) {
            return Err(error.clone());
        }
        let is_usable =
            |t: &StoredToken| fit(&t.token) && transport.clock.now() < t.expires_at - EXPIRY_MARGIN;
        if let Some(StoredToken { token, expires_at }) = self.stored_token(&is_usable).await {
            let minted_at = (expires_at - TOKEN_LIFETIME).min(transport.clock.now());
            return Ok(held.replace(expires_at - EXPIRY_MARGIN, Token::new(token, minted_at, replaces)));
        }
        let turn = MintingTurn { store: self.store.clone(), installation: self.installation_id };
        let minted = self.mint(transport).await;
        turn.end();
        match minted {
            Ok(token) => {
                if let Some(store) = &self.store {
                    store.put(self.installation_id, token.clone()).await;
                }
                let (now, expires_at) = (transport.clock.now(), token.expires_at);
                let renew_at = expires_at - EXPIRY_MARGIN.min((expires_at - now) / 4);
                Ok(held.replace(renew_at, Token::new(token.token, now, replaces)))
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

    async fn stored_token(&self, fit: Fit<'_>) -> Option<StoredToken> {
        self.store.as_ref()?.get(self.installation_id, fit).await.filter(fit)
    }

    /// Removes a token, so that the next call obtains another one.
    pub(crate) async fn drop_token(&self, void: &Token) {
        let mut held = self.held.lock().await;
        if held.token.as_ref().is_some_and(|token| token.has_secret(&void.secret)) {
            *held = HeldToken { void: Some(void.secret.clone()), ..HeldToken::default() };
        }
    }

    /// Mints a token with all permissions we use; if the installation does not grant the optional ones, with the
    /// required ones.
    async fn mint(&self, transport: &Transport) -> Result<StoredToken, GitHubError> {
        let request = self.required.clone().with_optional();
        let minted = match self.mint_with(transport, &request).await {
            Err(GitHubError::Refused { status: 422, message, .. }) => {
                tracing::warn!(
                    asked = request.describe(),
                    message,
                    "The App's installation does not grant all permissions; \
                    workflow runs cannot be cancelled without `actions: write`"
                );
                self.mint_with(transport, &self.required).await
            }
            minted => minted,
        };
        minted.map_err(|error| match error {
            GitHubError::Refused { status: 422, message, .. } => {
                GitHubError::PermissionMissing { permissions: self.required.describe(), message }
            }
            error => error.before_sending(),
        })
    }

    async fn mint_with(
        &self,
        transport: &Transport,
        request: &TokenRequest,
    ) -> Result<StoredToken, GitHubError> {
        let path = format!("/app/installations/{}/access_tokens", self.installation_id);
        let call = Call::post("create_installation_access_token", path).json(request)?;
        let reply = self.call_as_app(transport, &call).await?;
        let Minted { token, expires_at } = call.parse(&reply)?;
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(call.malformed("the token is empty or cannot be sent"));
        }
        if expires_at < transport.clock.now() - EXPIRED_MARGIN {
            return Err(call.malformed("the token has expired"));
        }
        Ok(StoredToken { token: Secret::new(token), expires_at })
    }

    /// Sends `call` as the App itself. After a 401 that revealed GitHub's clock, it is sent once more with a JWT by
    /// that clock.
    pub(crate) async fn call_as_app(&self, transport: &Transport, call: &Call) -> Result<Reply, GitHubError> {
        transport.admit(call).await?;
        let before = transport.clock.offset();
        let mut reply = transport.send(call, &self.jwt(transport).await?).await?;
        if reply.status == http::StatusCode::UNAUTHORIZED
            && before.abs_diff(transport.clock.offset()) > MAX_SKEW_SECONDS
        {
            tracing::warn!(seconds = transport.clock.offset(), "This machine's clock differs from GitHub's");
            reply = transport.send(call, &self.jwt(transport).await?).await?;
        }
        classify::check(call, reply, transport.clock.now())
    }

    async fn jwt(&self, transport: &Transport) -> Result<Secret, GitHubError> {
        let (key, now) = (Arc::clone(&self.key), transport.clock.now());
        let signed = tokio::task::spawn_blocking(move || key.sign(now)).await;
        Ok(signed.map_err(|_| GitHubError::Credential { reason: "signing was interrupted".to_owned() })??)
    }
}

impl HeldToken {
    fn replace(&mut self, renew_at: DateTime<Utc>, token: Token) -> Token {
        *self = Self { token: Some(token.clone()), void: None, renew_at, failed: None };
        token
    }
}
