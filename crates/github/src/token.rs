//! Installation tokens: one mint at a time, renewed in time, replaced when they are really void.
//!
//! A new token may be refused for some seconds, until all of GitHub's copies know it. Replacing it then would only make
//! another new one, and under load a storm of them; so within [`NEW_TOKEN_GRACE`] of its minting a token is never replaced.

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

/// A token is renewed this long before it ends, or a quarter of its life if that is less.
const EXPIRY_MARGIN: TimeDelta = TimeDelta::minutes(5);
/// So long after its minting a token that is refused may only be too new.
const NEW_TOKEN_GRACE: TimeDelta = TimeDelta::seconds(30);
/// The life GitHub gives a token, by which the age of another process's token is known.
const TOKEN_LIFE: TimeDelta = TimeDelta::hours(1);
/// A token whose end is further in the past than clocks differ was never good.
const EXPIRED_MARGIN: TimeDelta = TimeDelta::minutes(1);
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
    /// What a token must be able to do.
    required: TokenRequest,
    held: Mutex<HeldToken>,
}

/// A token in use.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    /// By GitHub's clock.
    minted_at: DateTime<Utc>,
    /// It was had because the one before was refused.
    replacement: bool,
    /// GitHub has answered it with something else than 401.
    accepted: Arc<AtomicBool>,
}

impl Token {
    fn new(secret: Secret, minted_at: DateTime<Utc>, replacement: bool) -> Self {
        Self { secret, minted_at, replacement, accepted: Arc::default() }
    }

    fn is(&self, other: &Secret) -> bool {
        self.secret.expose() == other.expose()
    }

    /// Whether a refusal at this time may only mean that GitHub does not know it everywhere yet.
    pub(crate) fn is_too_new(&self, now: DateTime<Utc>) -> bool {
        now - self.minted_at < NEW_TOKEN_GRACE
    }

    pub(crate) fn accept(&self) {
        self.accepted.store(true, Ordering::Relaxed);
    }

    /// Whether it replaced a refused one and has been refused itself ever since: another would not help.
    pub(crate) fn replaced_in_vain(&self) -> bool {
        self.replacement && !self.accepted.load(Ordering::Relaxed)
    }
}

/// The turn of this process to mint. Dropped before its end (the caller was cancelled), it lets another process mint.
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
        // Outside a runtime the process ends, and the turn with its time.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { store.give_up(installation).await });
        }
    }
}

/// How long to wait before a token that is too new is tried again: 1 to 3 seconds.
pub(crate) fn settling_wait() -> Duration {
    let jitter = Uuid::new_v4().as_u128() % 2_000;
    Duration::from_millis(1_000 + u64::try_from(jitter).unwrap_or_default())
}

#[derive(Default)]
struct HeldToken {
    token: Option<Token>,
    /// The last one that was given up, so that no shared place gives it back.
    void: Option<Secret>,
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
    pub(crate) fn new(
        key: AppKey,
        installation_id: u64,
        required: TokenRequest,
        store: Option<Arc<dyn TokenStore>>,
    ) -> Self {
        Self { key: Arc::new(key), installation_id, store, required, held: Mutex::default() }
    }

    /// A token fit for use and other than `rejected`. However many ask at once, one mints and all take its result.
    pub(crate) async fn token(
        &self,
        wire: &Transport,
        rejected: Option<&Token>,
    ) -> Result<Token, GitHubError> {
        let asked = Instant::now();
        let mut held = self.held.lock().await;
        let void = held.void.clone();
        let replaces = rejected.is_some() || void.is_some();
        let fit = |secret: &Secret| {
            rejected.is_none_or(|rejected| !rejected.is(secret))
                && void.as_ref().is_none_or(|void| void.expose() != secret.expose())
        };
        let good = |token: &&Token| fit(&token.secret) && wire.clock.now() < held.renew_at;
        if let Some(token) = held.token.as_ref().filter(good) {
            return Ok(token.clone());
        }
        if let Some((_, error)) = held.failed.as_ref().filter(|(when, _)| *when >= asked) {
            return Err(error.clone());
        }
        let lasting = |t: &StoredToken| fit(&t.token) && wire.clock.now() < t.expires_at - EXPIRY_MARGIN;
        if let Some(StoredToken { token, expires_at }) = self.shared(&lasting).await {
            let minted_at = (expires_at - TOKEN_LIFE).min(wire.clock.now());
            return Ok(held.take(expires_at - EXPIRY_MARGIN, Token::new(token, minted_at, replaces)));
        }
        let turn = MintingTurn { store: self.store.clone(), installation: self.installation_id };
        let minted = self.mint(wire).await;
        turn.end();
        match minted {
            Ok(token) => {
                if let Some(store) = &self.store {
                    store.put(self.installation_id, token.clone()).await;
                }
                let (now, expires_at) = (wire.clock.now(), token.expires_at);
                let renew_at = expires_at - EXPIRY_MARGIN.min((expires_at - now) / 4);
                Ok(held.take(renew_at, Token::new(token.token, now, replaces)))
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

    /// Forgets a token, so that the next call has another.
    pub(crate) async fn drop_token(&self, void: &Token) {
        let mut held = self.held.lock().await;
        if held.token.as_ref().is_some_and(|token| token.is(&void.secret)) {
            *held = HeldToken { void: Some(void.secret.clone()), ..HeldToken::default() };
        }
    }

    /// Mints with all permissions we use; where the installation grants only those without which nothing works, with those.
    async fn mint(&self, wire: &Transport) -> Result<StoredToken, GitHubError> {
        let whole = self.required.clone().with_optional();
        let minted = match self.mint_with(wire, &whole).await {
            Err(GitHubError::Refused { status: 422, message, .. }) => {
                tracing::warn!(
                    asked = whole.words(),
                    message,
                    "the App's installation does not grant all permissions; \
                    workflow runs cannot be cancelled without `actions: write`"
                );
                self.mint_with(wire, &self.required).await
            }
            minted => minted,
        };
        minted.map_err(|error| match error {
            GitHubError::Refused { status: 422, message, .. } => {
                GitHubError::PermissionMissing { permissions: self.required.words(), message }
            }
            error => error.before_sending(),
        })
    }

    async fn mint_with(&self, wire: &Transport, request: &TokenRequest) -> Result<StoredToken, GitHubError> {
        let path = format!("/app/installations/{}/access_tokens", self.installation_id);
        let call = Call::post("create_installation_access_token", path).json(request)?;
        let reply = self.as_app(wire, &call).await?;
        let Minted { token, expires_at } = call.parse(&reply)?;
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(call.malformed("the token is empty or cannot be sent"));
        }
        if expires_at < wire.clock.now() - EXPIRED_MARGIN {
            return Err(call.malformed("the token has expired"));
        }
        Ok(StoredToken { token: Secret::new(token), expires_at })
    }

    /// Sends `call` as the App itself. A 401 that taught us GitHub's clock is answered once, with a JWT by that clock.
    pub(crate) async fn as_app(&self, wire: &Transport, call: &Call) -> Result<Reply, GitHubError> {
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

    async fn jwt(&self, wire: &Transport) -> Result<Secret, GitHubError> {
        let (key, now) = (Arc::clone(&self.key), wire.clock.now());
        let signed = tokio::task::spawn_blocking(move || key.sign(now)).await;
        Ok(signed.map_err(|_| GitHubError::Credential { reason: "signing was cut short".to_owned() })??)
    }
}

impl HeldToken {
    fn take(&mut self, renew_at: DateTime<Utc>, token: Token) -> Token {
        *self = Self { token: Some(token.clone()), void: None, renew_at, failed: None };
        token
    }
}
