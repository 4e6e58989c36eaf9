//! PostgreSQL access. All SQL of the service is here, in methods on nouns ([`Jobs`], [`Runners`], …) that borrow one
//! connection or transaction. This crate decides nothing.

mod audit;
mod audit_chain;
mod audit_chain_rows;
mod audit_writes;
mod batch_runs;
mod batch_writes;
mod batches;
mod cancellations;
mod claim_tickets;
mod clients;
mod connect;
mod credentials;
mod detach;
mod error;
mod event_deliveries;
mod event_streams;
mod export;
mod facts;
mod fleet;
mod flow;
mod github_calls;
mod idempotency;
mod imports;
mod incidents;
mod installations;
mod jobs;
mod leases;
mod lists;
mod migrate;
mod open_jobs;
mod overview;
mod page;
mod past_requests;
mod pauses;
mod permissions;
mod pool;
mod predecessor;
mod queue_depths;
mod readable;
mod replica;
mod retention;
mod revocations;
mod runners;
mod scheduler_steps;
mod search;
mod self_registered;
mod sessions;
mod sign_ins;
mod stats;
mod sync;
mod teams;
mod unmanaged;
mod users;
mod versions;
mod webhooks;
mod workers;

pub use audit::{Audit, AuditFilter, AuditRow, RequestSubject, SecurityFilter, SecurityRow};
pub use audit_chain::{AuditChains, RunningTransactions, StoredBlock, StoredCheckpoint};
pub use audit_chain_rows::ChainRange;
pub use audit_writes::RepeatKey;
pub use batch_runs::{
    BatchItem, BatchOutcome, BatchRow, BatchRuns, BatchSubject, FailureSelection, NewBatch, RunnerSelection,
    TeamSelection,
};
pub use batches::{AdminRow, Batches, Managed, MemberRow};
pub use cancellations::{Cancellation, Cancellations, NewCancellation};
pub use claim_tickets::{ClaimTickets, NewClaimTicket, NewTicketUse, TicketFilter, TicketsOf};
pub use clients::{Candidates, ClientFilter, Clients, NewClient, RemovedClient};
pub use connect::{Pooler, ReplicaSettings, StoreSettings};
pub use credentials::{CredentialState, Credentials, SealedCredential};
pub use error::StoreError;
pub use event_deliveries::{DeliveryFilter, DeliveryOutcome, DeliveryRow, EventDeliveries, NewDeadDelivery};
pub use event_streams::{EventStreams, EventWindow, RemovedRows, StreamFailure, StreamName, StreamRow};
pub use facts::{ChangedSorting, DatabaseFacts};
pub use fleet::{Fleet, FleetCounts, RunnerCount, UnmanagedCount};
pub use flow::{Flow, FlowSpan};
pub use github_calls::{GithubCalls, Intent};
pub use idempotency::{Idempotency, KeyedRequest, TakenKey};
pub use imports::{ImportedAuditRow, ImportedRunner, Imports};
pub use incidents::{
    IncidentItem, IncidentRow, IncidentScope, IncidentTarget, Incidents, NewIncident, NewIncidentItem,
    ScopedRunner,
};
pub use installations::{Installations, Suspended, SweepResume, SweepTurn};
pub use jobs::{
    AcceptedRequest, CallRow, Counter, Dismissal, FailureRow, JobFilter, Jobs, NewJob, Postponement,
};
pub use leases::{LeaseRow, Leases};
pub use lists::Lists;
pub use migrate::Schema;
pub use open_jobs::{ExpiredJob, OpenJob, OpenJobs};
pub use overview::{Overview, Overviews, TeamQueue, UnusableRow};
pub use page::{Listed, MAX_TOTAL, Page, Period, Visible};
pub use past_requests::PastRequestRow;
pub use pauses::{NewPause, PauseRow, Pauses};
pub use permissions::Permissions;
pub use pool::{Conn, MIGRATIONS, Store, Tx};
pub use predecessor::{
    OldAuditRow, OldClient, OldMember, OldRunner, OldTeam, OldUser, Predecessor, SchemaDifference,
};
pub use queue_depths::{DepthPoint, DepthSample, QueueDepths};
pub use retention::{Pruned, Retention};
pub use revocations::{Revocations, RevokedAccess, ShreddedConfigs, UnreadRunner};
pub use runners::{DoubtfulRow, LiveRunners, NewRunner, RunnerFilter, Runners, TransitionRow};
pub use scheduler_steps::{SchedulerSteps, StepReport, StepRow};
pub use search::{HistorySearch, NamedRequesters, Requesters, RunnerSearch, Search};
pub use self_registered::{AwaitedRunner, RegisteredRunner, SelfRegistered};
pub use sessions::{NewSession, SessionRow, Sessions};
pub use sign_ins::{SignInRow, SignIns};
pub use stats::{Counts, Stats};
pub use sync::{SyncEnd, SyncRow, SyncRuns, SyncStart, TriggeredRow};
pub use teams::{SharedGroup, TeamChange, TeamDraft, TeamFilter, TeamMember, Teams};
pub use unmanaged::{UnmanagedRow, UnmanagedRunners};
pub use users::{BindRefusal, Binding, OtherAdmins, UserDraft, UserFilter, Users};
pub use versions::{DatedVersion, VersionRow, Versions};
pub use webhooks::{InboxState, NewDelivery, NextDelivery, PendingDelivery, Webhooks, WorkflowRunner};
pub use workers::{CurrentJob, Heartbeat, WorkerRow, Workers};

/// Result of the store's methods.
pub type Result<T> = std::result::Result<T, StoreError>;
