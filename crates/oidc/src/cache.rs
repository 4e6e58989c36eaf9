//! One issuer's keys, kept: fetched once for all who wait, seldom, and served old while new ones cannot be had.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::Algorithm;
use runtime::Clock;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    OidcError,
    keys::{Found, Key, KeySet},
    source::KeySource,
};

/// Keys younger than this are used as they are.
const FRESH: Duration = Duration::from_mins(10);
/// The background task renews keys older than this.
const WARM: Duration = Duration::from_mins(8);
/// Keys older than this are not used at all.
const STALE: Duration = Duration::from_hours(24);
/// Between two fetches while there are keys, whatever the tokens ask for.
const PAUSE: Duration = Duration::from_secs(30);
/// Between two fetches while there are none.
const COLD_PAUSE: Duration = Duration::from_secs(2);

/// The keys of one issuer.
pub(super) struct IssuerKeys {
    name: String,
    source: KeySource,
    clock: Clock,
    kept: RwLock<Option<Kept>>,
    /// Held while fetching, so that one fetch serves all who wait.
    gate: Arc<Mutex<Gate>>,
}

#[derive(Clone)]
struct Kept {
    keys: Arc<KeySet>,
    at: Duration,
    /// Counts fetches, so that one who waited sees that another has fetched.
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

    /// The key for a token. An unknown `kid` asks for newer keys, at most every 30 s.
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
        let failed = self.refresh(Some(seen.generation), PAUSE).await;
        let now = self.kept_within(STALE).ok_or(OidcError::KeysUnavailable)?;
        match now.keys.find(kid, algorithm) {
            Found::One(key) => Ok(*key),
            // The issuer is away: the key may well be a new one of its own.
            Found::None if failed => Err(OidcError::KeysUnavailable),
            Found::None | Found::Unfit => Err(OidcError::UnknownKey),
        }
    }

    /// Whether there are keys young enough to be used.
    pub(super) fn usable(&self) -> bool {
        self.kept_within(STALE).is_some()
    }

    /// Fetches keys that are missing or soon too old.
    pub(super) async fn warm_up(self: &Arc<Self>) {
        if self.kept_within(WARM).is_none() {
            let pause = if self.usable() { PAUSE } else { COLD_PAUSE };
            self.refresh(self.generation(), pause).await;
        }
    }

    async fn current(self: &Arc<Self>) -> Result<Kept, OidcError> {
        if let Some(kept) = self.kept_within(FRESH) {
            return Ok(kept);
        }
        let before = self.generation();
        let Some(old) = self.kept_within(STALE) else {
            self.refresh(before, COLD_PAUSE).await;
            return self.kept_within(STALE).ok_or(OidcError::KeysUnavailable);
        };
        // One asks for new keys; the others use the old ones meanwhile.
        if let Ok(gate) = self.gate.clone().try_lock_owned() {
            self.fetch_through(gate, PAUSE).await;
        }
        Ok(self.kept_within(STALE).unwrap_or(old))
    }

    /// Waits until keys other than `seen` are there, fetching them unless somebody did less than `pause` ago.
    /// Returns whether the last fetch failed.
    async fn refresh(self: &Arc<Self>, seen: Option<u64>, pause: Duration) -> bool {
        let gate = self.gate.clone().lock_owned().await;
        if self.generation() == seen { self.fetch_through(gate, pause).await } else { gate.failed }
    }

    /// The fetch runs in a task of its own: a caller who hangs up does not stop it for the others.
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
