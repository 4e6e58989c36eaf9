//! Small values all replicas share, such as a sealed installation token, and locks so that one of them makes it.

use std::time::Duration;

use redis::cmd;
use uuid::Uuid;

use crate::{Queue, QueueError, queue::millis, scripts};

/// Largest value, in bytes.
const MAX_VALUE_BYTES: usize = 16 * 1_024;

/// Proof that a lock is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockToken(String);

impl Queue {
    /// The value under this name, unless it ran out or was lost. Names are 1 to 100 of `a-z`, `0-9`, `:` and `-`.
    pub async fn shared_get(&self, name: &str) -> Result<Option<Vec<u8>>, QueueError> {
        self.link().command(cmd("GET").arg(self.key(&format!("value:{}", check(name)?)))).await
    }

    /// Keeps a value of at most 16 KiB for so long (1 ms to a day). Anybody who reads Redis can read it: seal secrets.
    pub async fn shared_put(&self, name: &str, value: &[u8], ttl: Duration) -> Result<(), QueueError> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(QueueError::TooLarge);
        }
        let mut set = cmd("SET");
        set.arg(self.key(&format!("value:{}", check(name)?))).arg(value).arg("PX").arg(lifetime(ttl));
        self.link().command::<String>(&set).await.map(drop)
    }

    /// Locks a name for so long (1 ms to a day); none while somebody else holds it. Locks and values have names of
    /// their own. Only saves work: it ends by itself, and a lost Redis forgets it.
    pub async fn shared_lock(&self, name: &str, ttl: Duration) -> Result<Option<LockToken>, QueueError> {
        let token = Uuid::new_v4().simple().to_string();
        let mut set = cmd("SET");
        set.arg(self.key(&format!("lock:{}", check(name)?)))
            .arg(&token)
            .arg("NX")
            .arg("PX")
            .arg(lifetime(ttl));
        let answer: Option<String> = self.link().command(&set).await?;
        Ok(answer.map(|_| LockToken(token)))
    }

    /// Keeps a lock of ours for so long from now on (1 ms to a day). False: it had run out.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn shared_renew(
        &self,
        name: &str,
        token: &LockToken,
        ttl: Duration,
    ) -> Result<bool, QueueError> {
        let args = [check(name)?.to_owned(), token.0.clone(), lifetime(ttl).to_string()];
        self.run(&scripts::RENEW_LOCK, &args).await
    }

    /// Opens a lock. False: it had run out.
    pub async fn shared_unlock(&self, name: &str, token: &LockToken) -> Result<bool, QueueError> {
        self.run(&scripts::UNLOCK, &[check(name)?.to_owned(), token.0.clone()]).await
    }
}

fn lifetime(ttl: Duration) -> u64 {
    millis(ttl).clamp(1, 86_400_000)
}

fn check(name: &str) -> Result<&str, QueueError> {
    let fits = (1..=100).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b":-".contains(&b));
    if fits { Ok(name) } else { Err(QueueError::BadName("1 to 100 characters of a-z, 0-9, : and -")) }
}
