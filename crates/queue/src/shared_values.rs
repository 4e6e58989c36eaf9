//! Small values that all replicas share, such as a sealed installation token, and locks so that one replica makes them.

use std::time::Duration;

use redis::cmd;
use uuid::Uuid;

use crate::{Queue, QueueError, queue::millis, scripts};

/// Largest value, in bytes.
const MAX_VALUE_BYTES: usize = 16 * 1_024;

/// Proof of ownership of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockToken(String);

impl Queue {
    /// Returns the value with this name; `None` if it expired or was lost. Names are 1 to 100 of `a-z`, `0-9`, `:` and
    /// `-`.
    pub async fn shared_get(&self, name: &str) -> Result<Option<Vec<u8>>, QueueError> {
        self.link().command(cmd("GET").arg(self.key(&format!("value:{}", validate_name(name)?)))).await
    }

    /// Stores a value of at most 16 KiB for `ttl` (1 ms to a day). All readers of Redis can read it: seal secrets.
    pub async fn shared_put(&self, name: &str, value: &[u8], ttl: Duration) -> Result<(), QueueError> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(QueueError::TooLarge);
        }
        let mut set = cmd("SET");
        set.arg(self.key(&format!("value:{}", validate_name(name)?))).arg(value).arg("PX").arg(lifetime(ttl));
        self.link().command::<String>(&set).await.map(drop)
    }

    /// Acquires a lock for `ttl` (1 ms to a day); `None` while another holder has it. Locks and values have separate
    /// names. A lock only saves work: it expires by itself, and a loss of Redis removes it.
    pub async fn shared_lock(&self, name: &str, ttl: Duration) -> Result<Option<LockToken>, QueueError> {
        let token = Uuid::new_v4().simple().to_string();
        let mut set = cmd("SET");
        set.arg(self.key(&format!("lock:{}", validate_name(name)?)))
            .arg(&token)
            .arg("NX")
            .arg("PX")
            .arg(lifetime(ttl));
        let answer: Option<String> = self.link().command(&set).await?;
        Ok(answer.map(|_| LockToken(token)))
    }

    /// Renews a lock that we own for `ttl` from now (1 ms to a day). Returns false if it had expired.
    ///
    /// # Errors
    /// [`QueueError`] if Redis cannot be reached.
    pub async fn shared_renew(
        &self,
        name: &str,
        token: &LockToken,
        ttl: Duration,
    ) -> Result<bool, QueueError> {
        let args = [validate_name(name)?.to_owned(), token.0.clone(), lifetime(ttl).to_string()];
        self.run(&scripts::RENEW_LOCK, &args).await
    }

    /// Releases a lock. Returns false if it had expired.
    pub async fn shared_unlock(&self, name: &str, token: &LockToken) -> Result<bool, QueueError> {
        self.run(&scripts::UNLOCK, &[validate_name(name)?.to_owned(), token.0.clone()]).await
    }
}

fn lifetime(ttl: Duration) -> u64 {
    millis(ttl).clamp(1, 86_400_000)
}

fn validate_name(name: &str) -> Result<&str, QueueError> {
    let fits = (1..=100).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b":-".contains(&b));
    if fits { Ok(name) } else { Err(QueueError::BadName("1 to 100 characters of a-z, 0-9, : and -")) }
}
