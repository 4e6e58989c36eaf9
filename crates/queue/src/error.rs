//! What can go wrong between here and Redis.

/// A failed call. Nothing is known of its effect; every script may be called again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The address cannot be parsed. It is not repeated here: it may hold a password.
    #[error("the address of the queue is no redis URL")]
    BadUrl,
    /// The namespace is not 1 to 64 characters of `a-z`, `0-9`, `-`, `_`.
    #[error("a queue namespace is 1 to 64 characters of a-z, 0-9, - and _")]
    BadNamespace,
    /// A name of an endpoint or resource, or of a shared value, is not what the call asks for.
    #[error("a name is {0}")]
    BadName(&'static str),
    /// A shared value is too large.
    #[error("a shared value is at most 16 KiB")]
    TooLarge,
    /// Redis refused, or the connection broke.
    #[error("redis failed")]
    Redis(#[from] redis::RedisError),
    /// No server that takes writes has been found; one is looked for in the background.
    #[error("no redis server takes writes at the moment")]
    Away,
    /// No answer within the call's time-out.
    #[error("redis did not answer in time")]
    Timeout,
    /// Redis holds something this version cannot read.
    #[error("redis answered something unexpected: {0}")]
    Unexpected(&'static str),
}

impl QueueError {
    /// Whether the same call may succeed later without anybody changing a setting.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Redis(_) | Self::Away | Self::Timeout)
    }
}
