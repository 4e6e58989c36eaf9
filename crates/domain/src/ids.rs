//! Typed ids, so that one kind of id cannot be passed for another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The nil id, which belongs to no row.
            pub const NIL: Self = Self(Uuid::nil());
            /// Returns a new id (`UUIDv7`: later ids sort after earlier ones).
            pub fn new() -> Self { Self(Uuid::now_v7()) }
            /// Returns the plain UUID, for the stores.
            pub const fn uuid(self) -> Uuid { self.0 }
        }
        impl Default for $name { fn default() -> Self { Self::new() } }
        impl From<Uuid> for $name { fn from(id: Uuid) -> Self { Self(id) } }
        impl From<$name> for Uuid { fn from(id: $name) -> Self { id.0 } }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> { text.parse().map(Self) }
        }
    )+};
}

ids! {
    /// Id of one unit of queued work.
    JobId,
    /// Id of one runner, from its request to its deletion.
    RunnerId,
    /// Id of one team.
    TeamId,
    /// Id of one claim ticket.
    TicketId,
    /// Id of one user.
    UserId,
    /// Id of one machine client.
    ClientId,
    /// Id of one security event.
    SecurityEventId,
    /// Id of one event that was put aside for a sink.
    EventDeliveryId,
    /// Id of one recorded GitHub call (a row of `github_calls`).
    CallId,
}

/// Id of one GitHub App installation or other credential with its own budget; `default` if there is only one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstallationId(String);

/// An installation id that is not 1 to 40 characters of `a-z`, `0-9` and `-`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an installation id is 1 to 40 characters of a-z, 0-9 and -")]
pub struct BadInstallationId;

impl InstallationId {
    /// Returns the id's text, as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for InstallationId {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for InstallationId {
    type Err = BadInstallationId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=40).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        fits.then(|| Self(text.to_owned())).ok_or(BadInstallationId)
    }
}

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
