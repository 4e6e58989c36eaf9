//! Installation tokens shared by all processes: minted once, sealed in Redis and renewed before their end.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{InstallationId, KeyRing, Sealed, Secret};
use github::{Fit, StoredToken, TokenFuture, TokenStore};
use queue::{LockToken, Queue};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Mutex,
    task::JoinHandle,
    time::{Instant, sleep},
};

/// Longest time for a mint: longer than the request takes. Other processes wait as long before they mint themselves.
const MAX_MINT: Duration = Duration::from_secs(25);
/// Life of the lock without renewal: if the minting process is killed, another one mints after this time.
const LOCK_TTL: Duration = Duration::from_secs(4);
/// Interval at which the minting process renews its lock.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(1);
/// Interval at which the other processes check for the token.
const LOOKUP_INTERVAL: Duration = Duration::from_millis(50);
/// Longest life of a shared token in Redis; GitHub's tokens live for an hour.
const MAX_SHARED_LIFE: Duration = Duration::from_mins(55);

/// Token store in Redis. An unavailable Redis counts as empty, because a token can always be minted. Without keys
/// nothing is shared.
pub(crate) struct SharedTokens {
    queue: Queue,
    /// Our id: GitHub's ids are unique on one GitHub only.
    id: InstallationId,
    keys: Option<KeyRing>,
    lock: Mutex<Option<MintLock>>,
}

/// Lock of the process that mints, renewed until it is dropped.
struct MintLock {
    token: LockToken,
    renewal: JoinHandle<()>,
}

impl Drop for MintLock {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// A token as stored in Redis. A further field means that a newer version wrote it, perhaps for a use of its own.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedToken {
    key_id: String,
    wrapped_key: Vec<u8>,
    ciphertext: Vec<u8>,
    expires_at: DateTime<Utc>,
}

/// State of the shared token.
enum Shared {
    /// There is none, or none that this process has the key for.
    Missing,
    /// A token, perhaps an expired one.
    Token(StoredToken),
    /// A token in a form that only a newer version can read.
    OfNewerVersion,
}

impl Shared {
    fn token(self) -> Option<StoredToken> {
        match self {
            Self::Token(token) => Some(token),
            Self::Missing | Self::OfNewerVersion => None,
        }
    }
}

impl SharedTokens {
    pub(crate) fn new(queue: &Queue, keys: Option<&KeyRing>, id: &InstallationId) -> Self {
        Self { queue: queue.clone(), id: id.clone(), keys: keys.cloned(), lock: Mutex::default() }
    }

    fn value_name(&self, installation: u64) -> String {
        format!("github-token:{}:{installation}", self.id)
    }

    fn lock_name(&self, installation: u64) -> String {
        format!("mint:{}:{installation}", self.id)
    }

    /// Returns the context for which a token is sealed.
    fn context(&self, installation: u64, expires_at: DateTime<Utc>) -> String {
        format!("installation-token|{}|{installation}|{}", self.id, expires_at.timestamp())
    }

    async fn read(&self, installation: u64) -> Shared {
        let found = self.queue.shared_get(&self.value_name(installation)).await;
        let (Ok(Some(bytes)), Some(keys)) = (found, &self.keys) else { return Shared::Missing };
        let Ok(stored) = serde_json::from_slice::<SealedToken>(&bytes) else { return Shared::OfNewerVersion };
        let sealed =
            Sealed { key_id: stored.key_id, wrapped_key: stored.wrapped_key, ciphertext: stored.ciphertext };
        match keys.open(&self.context(installation, stored.expires_at), &sealed) {
            Ok(token) => Shared::Token(StoredToken { token, expires_at: stored.expires_at }),
            // Sealed with a key that this process does not have; its own token replaces it.
            Err(_) => Shared::Missing,
        }
    }

    /// Returns the shared token, or `None` to the one process that must mint it.
    async fn get_or_lock(&self, installation: u64, fit: Fit<'_>) -> Option<StoredToken> {
        // Without keys no other process could use the token.
        self.keys.as_ref()?;
        let until = Instant::now() + MAX_MINT;
        loop {
            match self.read(installation).await {
                Shared::Token(token) if fit(&token) => return Some(token),
                Shared::Token(_) | Shared::Missing => {}
                Shared::OfNewerVersion => {
                    tracing::warn!(
                        installation = %self.id,
                        "a newer version shares its GitHub token in a form that this process cannot read; it mints its own"
                    );
                    return None;
                }
            }
            match self.queue.shared_lock(&self.lock_name(installation), LOCK_TTL).await {
                Ok(Some(token)) => {
                    let renewal = tokio::spawn(renew_lock(
                        self.queue.clone(),
                        self.lock_name(installation),
                        token.clone(),
                    ));
                    *self.lock.lock().await = Some(MintLock { token, renewal });
                    // Another process may have minted between the check and the lock.
                    let token = self.read(installation).await.token().filter(fit);
                    if token.is_some() {
                        self.unlock(installation).await;
                    }
                    return token;
                }
                Ok(None) if Instant::now() < until => sleep(LOOKUP_INTERVAL).await,
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Shares a new token, except in place of one of a newer version: processes of that version go on using theirs.
    async fn store(&self, installation: u64, token: &StoredToken) {
        if let Some(bytes) = self.seal(installation, token)
            && !matches!(self.read(installation).await, Shared::OfNewerVersion)
            && let Err(error) =
                self.queue.shared_put(&self.value_name(installation), &bytes, MAX_SHARED_LIFE).await
        {
            tracing::debug!(%error, "An installation token could not be shared");
        }
        self.unlock(installation).await;
    }

    /// Allows another process to mint.
    async fn unlock(&self, installation: u64) {
        if let Some(lock) = self.lock.lock().await.take() {
            // A lock that expired, or that Redis lost, needs no release.
            let _ = self.queue.shared_unlock(&self.lock_name(installation), &lock.token).await;
        }
    }

    fn seal(&self, installation: u64, token: &StoredToken) -> Option<Vec<u8>> {
        let secret = Secret::new(token.token.expose());
        let Sealed { key_id, wrapped_key, ciphertext } =
            self.keys.as_ref()?.seal(&self.context(installation, token.expires_at), &secret).ok()?;
        serde_json::to_vec(&SealedToken { key_id, wrapped_key, ciphertext, expires_at: token.expires_at })
            .ok()
    }
}

/// Renews the lock during a mint, for the longest time a mint may take.
async fn renew_lock(queue: Queue, name: String, token: LockToken) {
    let until = Instant::now() + MAX_MINT;
    while Instant::now() + LOCK_TTL < until {
        sleep(RENEWAL_INTERVAL).await;
        // False: the lock expired and another process mints. After an error, Redis may be back at the next renewal.
        if matches!(queue.shared_renew(&name, &token, LOCK_TTL).await, Ok(false)) {
            return;
        }
    }
}

impl TokenStore for SharedTokens {
    fn get<'a>(&'a self, installation: u64, fit: Fit<'a>) -> TokenFuture<'a, Option<StoredToken>> {
        Box::pin(self.get_or_lock(installation, fit))
    }

    fn put(&self, installation: u64, token: StoredToken) -> TokenFuture<'_, ()> {
        Box::pin(async move { self.store(installation, &token).await })
    }

    fn give_up(&self, installation: u64) -> TokenFuture<'_, ()> {
        Box::pin(self.unlock(installation))
    }
}
