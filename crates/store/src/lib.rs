//! How it is remembered: the only SQL. Methods on nouns borrowed from one open transaction; nothing is decided here.

mod audit;
mod calls;
mod clients;
mod credentials;
mod error;
mod idempotency;
mod jobs;
mod page;
mod pool;
mod runners;
mod teams;
mod users;
mod workers;

pub use audit::{Audit, AuditFilter, AuditRow, SecurityFilter, SecurityRow};
pub use calls::{Calls, Intent};
pub use clients::{Clients, NewClient};
pub use credentials::{CredentialState, Credentials, SealedCredential};
pub use error::StoreError;
pub use idempotency::{Idempotency, Seen};
pub use jobs::{Burn, JobFilter, Jobs, NewJob, OpenJob};
pub use page::{Listed, Page, Visible};
pub use pool::{MIGRATIONS, Read, Store, Tx};
pub use runners::{NewRunner, RunnerFilter, Runners};
pub use teams::{TeamChange, TeamDraft, Teams};
pub use users::{UserDraft, Users};
pub use workers::{WorkerRow, Workers};

/// What every method here answers.
pub type Result<T> = std::result::Result<T, StoreError>;
