//! Connection settings of the queue.

use std::{fmt, sync::Arc, time::Duration};

use domain::PasswordSource;

use crate::QueueError;

/// Settings of a [`crate::Queue`].
#[derive(Clone)]
pub struct QueueConfig {
    /// Address: `redis://`, `rediss://` or `redis+unix:///path?db=0` for one server,
    /// `redis+sentinel://host,host/name/db` for a primary that Sentinels name, `redis+cluster://host,host` for a cluster
    /// (`rediss+…` with TLS). May hold a password, so it is never printed.
    pub url: String,
    /// Password for each new connection, instead of the one in the address. Sentinels have a password of their own.
    pub password: Option<PasswordSource>,
    /// Certificates to trust in TLS, in PEM. `None`: the library's own.
    pub roots: Option<Arc<[u8]>>,
    /// Hash tag of every key: 1 to 64 characters of `a-z`, `0-9`, `-`, `_`.
    pub namespace: String,
    /// Time limit of one call, connecting included.
    pub call_timeout: Duration,
    /// Longest wait that a claim returns. It bounds a worker's delay if a wake-up is lost.
    pub longest_wait: Duration,
    /// Installations with jobs that one claim considers, 1 to 1,000. The cost of a claim grows with them; with more
    /// installations than that, waiting workers ask ten times a second.
    pub installations_per_claim: u16,
}

impl QueueConfig {
    /// Returns settings with this address and namespace, 2 s for every call, 5 s as the longest wait and 64
    /// installations for each claim.
    pub fn new(url: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            roots: None,
            namespace: namespace.into(),
            call_timeout: Duration::from_secs(2),
            longest_wait: Duration::from_secs(5),
            installations_per_claim: 64,
        }
    }

    pub(crate) fn prefix(&self) -> Result<String, QueueError> {
        let fits = (1..=64).contains(&self.namespace.len())
            && self
                .namespace
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
        if fits { Ok(format!("{{{}}}:", self.namespace)) } else { Err(QueueError::BadNamespace) }
    }
}

impl fmt::Debug for QueueConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueConfig").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
