//! One installation token for all processes: minted once, sealed in the queue's store, renewed before its end.

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

/// Longest time a process may take to mint: longer than the request takes. Others wait as long before they mint themselves.
const LONGEST_MINT: Duration = Duration::from_secs(25);
/// Life of the lock without renewal: when a process that mints is killed, another mints after this time.
const LOCK_TTL: Duration = Duration::from_secs(4);
/// How often a process that mints renews its lock.
const RENEW: Duration = Duration::from_secs(1);
/// How often they look.
const LOOKUP_INTERVAL: Duration = Duration::from_millis(50);
/// A shared token is kept this long at most; GitHub's live for an hour.
const KEEP: Duration = Duration::from_mins(55);

/// The shared place. Away or broken, it is as good as empty: a token can always be minted. Without keys nothing is shared.
pub(crate) struct SharedTokens {
    queue: Queue,
    /// Ours: ids of GitHub's are unique on one GitHub only.
    id: InstallationId,
    keys: Option<KeyRing>,
    lock: Mutex<Option<MintLock>>,
}

/// The lock of the process that mints, renewed until this is dropped.
struct MintLock {
    token: LockToken,
    renewal: JoinHandle<()>,
}

impl Drop for MintLock {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// A token as it lies there.
#[derive(Serialize, Deserialize)]
struct Kept {
    key_id: String,
    wrapped_key: Vec<u8>,
    ciphertext: Vec<u8>,
    expires_at: DateTime<Utc>,
}

impl SharedTokens {
    pub(crate) fn new(queue: &Queue, keys: Option<&KeyRing>, id: &InstallationId) -> Self {
        Self { queue: queue.clone(), id: id.clone(), keys: keys.cloned(), lock: Mutex::default() }
    }

    fn name(&self, installation: u64) -> String {
        format!("github-token:{}:{installation}", self.id)
    }

    fn mint(&self, installation: u64) -> String {
        format!("mint:{}:{installation}", self.id)
    }

    /// What a token is sealed for.
    fn context(&self, installation: u64, expires_at: DateTime<Utc>) -> String {
        format!("installation-token|{}|{installation}|{}", self.id, expires_at.timestamp())
    }

    async fn read(&self, installation: u64) -> Option<StoredToken> {
        let keys = self.keys.as_ref()?;
        let bytes = self.queue.shared_get(&self.name(installation)).await.ok()??;
        let kept: Kept = serde_json::from_slice(&bytes).ok()?;
        let sealed =
            Sealed { key_id: kept.key_id, wrapped_key: kept.wrapped_key, ciphertext: kept.ciphertext };
        let token = keys.open(&self.context(installation, kept.expires_at), &sealed).ok()?;
        Some(StoredToken { token, expires_at: kept.expires_at })
    }

    /// The token, or none to the one process that is to mint it.
    async fn take(&self, installation: u64, fit: Fit<'_>) -> Option<StoredToken> {
        // Nobody else could use what this process mints.
        self.keys.as_ref()?;
        let until = Instant::now() + LONGEST_MINT;
        loop {
            if let Some(token) = self.read(installation).await.filter(fit) {
                return Some(token);
            }
            match self.queue.shared_lock(&self.mint(installation), LOCK_TTL).await {
                Ok(Some(token)) => {
                    let renewal =
                        tokio::spawn(renew(self.queue.clone(), self.mint(installation), token.clone()));
                    *self.lock.lock().await = Some(MintLock { token, renewal });
                    // Minted between the look and the lock?
                    let token = self.read(installation).await.filter(fit);
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

    async fn keep(&self, installation: u64, token: &StoredToken) {
        if let Some(bytes) = self.seal(installation, token)
            && let Err(error) = self.queue.shared_put(&self.name(installation), &bytes, KEEP).await
        {
            tracing::debug!(%error, "a token could not be shared");
        }
        self.unlock(installation).await;
    }

    /// Lets another process mint.
    async fn unlock(&self, installation: u64) {
        if let Some(lock) = self.lock.lock().await.take() {
            // Run out or away: it ends by itself.
            let _ = self.queue.shared_unlock(&self.mint(installation), &lock.token).await;
        }
    }

    fn seal(&self, installation: u64, token: &StoredToken) -> Option<Vec<u8>> {
        let secret = Secret::new(token.token.expose());
        let Sealed { key_id, wrapped_key, ciphertext } =
            self.keys.as_ref()?.seal(&self.context(installation, token.expires_at), &secret).ok()?;
        serde_json::to_vec(&Kept { key_id, wrapped_key, ciphertext, expires_at: token.expires_at }).ok()
    }
}

/// Renews the lock of a mint that is under way, for as long as a mint may take.
async fn renew(queue: Queue, name: String, token: LockToken) {
    let until = Instant::now() + LONGEST_MINT;
    while Instant::now() + LOCK_TTL < until {
        sleep(RENEW).await;
        // Run out: another process mints. A queue that is away may be back the next time.
        if matches!(queue.shared_renew(&name, &token, LOCK_TTL).await, Ok(false)) {
            return;
        }
    }
}

impl TokenStore for SharedTokens {
    fn get<'a>(&'a self, installation: u64, fit: Fit<'a>) -> TokenFuture<'a, Option<StoredToken>> {
        Box::pin(self.take(installation, fit))
    }

    fn put(&self, installation: u64, token: StoredToken) -> TokenFuture<'_, ()> {
        Box::pin(async move { self.keep(installation, &token).await })
    }

    fn give_up(&self, installation: u64) -> TokenFuture<'_, ()> {
        Box::pin(self.unlock(installation))
    }
}
