//! What is true, with the power off: ids, states, transitions, policy, problems, secrets.
//!
//! Nothing here waits, asks the time or holds a handle.

mod ids;
mod lane;
mod secret;

pub use ids::{BadInstallationId, CallId, ClientId, InstallationId, JobId, RunnerId, TeamId, UserId};
pub use lane::{JobKind, Lane};
pub use secret::Secret;

/// A word that is none of the values of an enum.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{word}` is no {what}")]
pub struct UnknownWord {
    /// The enum's name.
    pub what: &'static str,
    /// The word met.
    pub word: String,
}
