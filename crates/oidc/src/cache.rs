//! Cached keys of one issuer. One fetch serves all waiting callers, and old keys stay in use while new ones cannot be
//! fetched.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use domain::error_chain;
use jsonwebtoken::Algorithm;
use runtime::Clock;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    OidcError,
    keys::{Found, Key, KeySet},
    source::KeySource,
};

/// Age up to which keys are used without a refresh.
const REFRESH_AGE: Duration = Duration::from_mins(10);
/// Age from which the background task refreshes keys.
const PREFETCH_AGE: Duration = Duration::from_mins(8);
/// Age from which keys are no longer used at all.
const MAX_KEY_AGE: Duration = Duration::from_hours(24);
/// Minimum time between two fetches while there are keys, whichever keys the tokens name.
const REFETCH_PAUSE: Duration = Duration::from_secs(30);
/// Minimum time between two fetches while there are no keys.
const FIRST_FETCH_PAUSE: Duration = Duration::from_secs(2);

/// Cached keys of one issuer.
pub(super) struct IssuerKeys {
    name: String,
    source: KeySource,
    clock: Clock,
    kept: RwLock<Option<Kept>>,
    /// Locked during a fetch, so that one fetch serves all waiting callers.
    gate: Arc<Mutex<Gate>>,
}

#[derive(Clone)]
struct Kept {
    keys: Arc<KeySet>,
    at: Duration,
    /// Number of fetches. A caller that waited for the lock sees from it that another caller has fetched.
    generation: u64,
}

#[derive(Default)]
struct Gate {
    attempted: Option<Duration>,
    failed: bool,
}

impl IssuerKeys {
    pub(super) fn new(name: String, source: KeySource, clock: Clock) -> Self {
        Self { name, source, clock, kept: RwLock::default(), gate: Arc::default() }
    }

    /// Returns the key for a token. An unknown `kid` triggers a refresh, at most every 30 s.
    pub(super) async fn find(
        self: &Arc<Self>,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Key, OidcError> {
        let seen = self.current().await?;
        match seen.keys.find(kid, algorithm) {
            Found::One(key) => return Ok(*key),
            Found::Unfit => return Err(OidcError::UnknownKey),
            Found::None => {}
        }
        let failed = self.refresh(Some(seen.generation), REFETCH_PAUSE).await;
        let now = self.kept_within(MAX_KEY_AGE).ok_or(OidcError::KeysUnavailable)?;
        match now.keys.find(kid, algorithm) {
            Found::One(key) => Ok(*key),
            // The issuer cannot be reached, and the key may be a new one.
            Found::None if failed => Err(OidcError::KeysUnavailable),
            Found::None | Found::Unfit => Err(OidcError::UnknownKey),
        }
    }

    /// Fetches the keys without caching them.
    ///
    /// # Errors
    /// The reason, as a sentence without its full stop.
    pub(super) async fn try_fetch(&self) -> Result<(), String> {
        self.source.fetch().await.map(drop).map_err(|error| error_chain(&error))
    }

    /// Returns whether there are keys young enough to be used.
    pub(super) fn usable(&self) -> bool {
        self.kept_within(MAX_KEY_AGE).is_some()
    }

    /// Fetches keys that are missing or due for a refresh.
    pub(super) async fn warm_up(self: &Arc<Self>) {
        if self.kept_within(PREFETCH_AGE).is_none() {
            let pause = if self.usable() { REFETCH_PAUSE } else { FIRST_FETCH_PAUSE };
            self.refresh(self.generation(), pause).await;
        }
    }

    async fn current(self: &Arc<Self>) -> Result<Kept, OidcError> {
        if let Some(kept) = self.kept_within(REFRESH_AGE) {
            return Ok(kept);
        }
        let before = self.generation();
        let Some(old) = self.kept_within(MAX_KEY_AGE) else {
            self.refresh(before, FIRST_FETCH_PAUSE).await;
            return self.kept_within(MAX_KEY_AGE).ok_or(OidcError::KeysUnavailable);
        };
        // One caller fetches new keys; the others meanwhile use the old ones.
        if let Ok(gate) = self.gate.clone().try_lock_owned() {
            self.fetch_through(gate, REFETCH_PAUSE).await;
        }
        Ok(self.kept_within(MAX_KEY_AGE).unwrap_or(old))
    }

    /// Waits until there are keys newer than generation `seen`. Fetches them unless the last fetch was less than
    /// `pause` ago. Returns whether the last fetch failed.
    async fn refresh(self: &Arc<Self>, seen: Option<u64>, pause: Duration) -> bool {
        let gate = self.gate.clone().lock_owned().await;
        if self.generation() == seen { self.fetch_through(gate, pause).await } else { gate.failed }
    }

    /// Fetches in a separate task, so that a caller that disconnects does not stop the fetch for the others.
    async fn fetch_through(self: &Arc<Self>, mut gate: OwnedMutexGuard<Gate>, pause: Duration) -> bool {
        let now = self.clock.monotonic();
        if gate.attempted.is_some_and(|at| now.saturating_sub(at) < pause) {
            return gate.failed;
        }
        let this = self.clone();
        let fetching = tokio::spawn(async move {
            gate.attempted = Some(now);
            gate.failed = true;
            gate.failed = !this.fetch(now).await;
            gate.failed
        });
        fetching.await.unwrap_or(true)
    }

    async fn fetch(&self, now: Duration) -> bool {
        let fetched = self.source.fetch().await;
        let outcome = if fetched.is_ok() { "ok" } else { "failed" };
        metrics::counter!("rts_oidc_key_fetches_total", "issuer" => self.name.clone(), "outcome" => outcome)
            .increment(1);
        match fetched {
            Ok(keys) => {
                let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
                let generation = kept.as_ref().map_or(1, |kept| kept.generation + 1);
                *kept = Some(Kept { keys: Arc::new(keys), at: now, generation });
                true
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(issuer = self.name, %error, cause, "keys could not be fetched");
                false
            }
        }
    }

    fn kept_within(&self, age: Duration) -> Option<Kept> {
        let now = self.clock.monotonic();
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner).clone();
        kept.filter(|kept| now.saturating_sub(kept.at) < age)
    }

    fn generation(&self) -> Option<u64> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|kept| kept.generation)
    }
}
