//! What is true, with the power off: ids, states, transitions, policy, problems, secrets.
//!
//! Nothing here waits, asks the time or holds a handle.

mod audit;
mod call;
mod caller;
mod ids;
mod job;
mod lane;
mod policy;
mod problem;
mod runner;
mod seal;
mod secret;
mod team;

pub use audit::{AuditEntry, Origin, SecurityEvent, Severity};
pub use call::{Call, CallState, reap_due};
pub use caller::{Caller, ClaimRule, MachineClient, Membership, Requester, TokenFacts, User};
pub use ids::{BadInstallationId, CallId, ClientId, InstallationId, JobId, RunnerId, TeamId, UserId};
pub use job::{
    BlockedOn, Job, JobParams, JobState, MAX_PREFIX, MAX_RESCUES, NameWish, Removal, Unfit, retry_delay,
};
pub use lane::{JobKind, Lane};
pub use policy::{
    LabelPattern, LabelPolicy, MAX_LABEL, MAX_LABELS, MAX_PATTERN, MAX_PATTERNS, check_label,
    is_reserved_label, is_system_label,
};
pub use problem::{FieldError, Problem, ProblemCode};
pub use runner::{BadRunnerName, Runner, RunnerName, RunnerStatus, is_name_prefix};
pub use seal::{KeyRing, SealError, Sealed, credential_context};
pub use secret::Secret;
pub use team::{Admission, DriftResponse, ProvisionRequest, Team};

/// A word that is none of the values of an enum.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{word}` is no {what}")]
pub struct UnknownWord {
    /// The enum's name.
    pub what: &'static str,
    /// The word met.
    pub word: String,
}
