//! Where Redis is and how long it may take.

use std::{fmt, sync::Arc, time::Duration};

use crate::QueueError;

/// Settings of a [`crate::Queue`].
#[derive(Clone)]
pub struct QueueConfig {
    /// Address: `redis://`, `rediss://` or `redis+unix:///path?db=0` for one server,
    /// `redis+sentinel://host,host/name/db` for a primary that Sentinels name, `redis+cluster://host,host` for a cluster
    /// (`rediss+…` with TLS). May hold a password, so it is never printed.
    pub url: String,
    /// The certificates to trust in TLS, in PEM. `None`: the library's own.
    pub roots: Option<Arc<[u8]>>,
    /// 1 to 64 characters of `a-z`, `0-9`, `-`, `_`: becomes the hash tag of every key.
    pub namespace: String,
    /// Longest wait for one answer, connecting included.
    pub call_timeout: Duration,
    /// Longest wait a claim answers: how late a worker is at most if a wake-up gets lost.
    pub longest_wait: Duration,
}

impl QueueConfig {
    /// The address and namespace given, 2 s for every call, 5 s as the longest wait.
    pub fn new(url: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            roots: None,
            namespace: namespace.into(),
            call_timeout: Duration::from_secs(2),
            longest_wait: Duration::from_secs(5),
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
