//! How it is remembered: the only SQL. Methods on nouns borrowed from one open transaction; nothing is decided here.

mod audit;
mod calls;
mod cancellations;
mod clients;
mod credentials;
mod error;
mod fleet;
mod idempotency;
mod installations;
mod jobs;
mod leases;
mod migrate;
mod newcomers;
mod page;
mod permissions;
mod pool;
mod repeats;
mod retention;
mod revocations;
mod runners;
mod teams;
mod users;
mod versions;
mod webhooks;
mod whole;
mod workers;

pub use audit::{Audit, AuditFilter, AuditRow, SecurityFilter, SecurityRow};
pub use calls::{Calls, Intent};
pub use cancellations::{Cancellation, Cancellations, NewCancellation};
pub use clients::{Clients, NewClient};
pub use credentials::{CredentialState, Credentials, SealedCredential};
pub use error::StoreError;
pub use fleet::{Fleet, PassEnd, PassStart, SyncRow, TriggeredRow, UnmanagedRow};
pub use idempotency::{Idempotency, Seen};
pub use installations::{Installations, Suspended, SweepResume, SweepTurn};
pub use jobs::{Burn, JobFilter, Jobs, NewJob, OpenJob};
pub use leases::{LeaseRow, Leases};
pub use migrate::{Schema, newest_version};
pub use newcomers::{Awaited, Newcomers};
pub use page::{Listed, Page, Visible};
pub use permissions::Permissions;
pub use pool::{MIGRATIONS, Read, Store, Tx};
pub use repeats::RepeatKey;
pub use retention::Retention;
pub use revocations::{Revocations, RevokedAccess, ShreddedConfigs, UnreadRunner};
pub use runners::{NewRunner, RunnerFilter, Runners, TransitionRow};
pub use teams::{TeamChange, TeamDraft, Teams};
pub use users::{BindRefusal, Binding, OtherAdmins, UserDraft, Users};
pub use versions::{VersionRow, Versions};
pub use webhooks::{Bound, InboxState, NewDelivery, Next, Pending, Webhooks};
pub use workers::{WorkerRow, Workers};

/// What every method here answers.
pub type Result<T> = std::result::Result<T, StoreError>;
