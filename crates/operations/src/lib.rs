//! Operations: what a caller may do.
//!
//! Each operation takes the caller ([`Actor`]) or a permission as a value: to administer ([`Administrator`]), to read
//! everything ([`Viewer`]) or to read one team ([`TeamReader`]). A change is one transaction that ends with one audit
//! row, followed by a message to the queue. Refusals are recorded here too. The HTTP API and the command line are front
//! ends of these operations.

mod actor;
mod administrator;
mod apply;
mod audit_chain;
mod audit_export;
mod batch;
mod clients;
pub mod doctor;
mod error;
mod event_deliveries;
mod failed_jobs;
mod failures;
mod incident;
mod jobs;
mod label_policies;
mod members;
mod pauses;
mod picture;
mod predecessor;
mod queueing;
mod reader;
mod record;
mod refusal;
mod replay;
mod revocation;
mod role;
mod runners;
mod security;
mod sessions;
mod stats;
mod suspension;
mod sync;
mod teams;
mod tickets;
mod token_test;
mod turns;
mod users;
mod validate;
mod workers;

pub use actor::Actor;
pub use administrator::{Administrator, Operator};
pub use apply::{
    Action, ApplyOptions, Consent, Export, ExportRows, Plan, PlanItem, Subject, Wanted, WantedClient,
    WantedPerson, WantedTeam,
};
pub use audit_chain::{
    ChainFinding, ChainProgress, ChainReport, ChainToVerify, MAX_FINDINGS, verify_audit_chain,
};
pub use audit_export::AuditText;
pub use batch::{BATCH_TIME, BatchRequest, BatchSelector};
pub use clients::{ClientChange, check_client_draft};
pub use error::{OperationError, Result};
pub use failed_jobs::FailedJob;
pub use incident::IncidentReport;
pub use jobs::{leftover_removal, service_job};
pub use label_policies::{AdoptedPolicy, Adoption, UserLabelPolicy};
pub use pauses::{RestoreError, restore_pauses};
pub use predecessor::{ImportReport, ImportTarget, ImportedKind};
pub use reader::{TeamReader, Viewer};
pub use refusal::{RefusalLimit, RefusalLog, Refused};
pub use replay::{Found, Replay, ReplayDraft, ReplayedRequest};
pub use role::{RoleFlags, StatedRole};
pub use runners::{
    ExplainedCaller, Explanation, JobRule, OrderedRemovals, ProvisionCommand, ProvisionRules, Question,
    Registration, RunnerJobRequest,
};
pub use sessions::SessionStart;
pub use stats::count_everything;
pub use suspension::{ReportedSuspension, SUSPENSION_PAUSE};
pub use sync::request_sync;
pub use teams::TeamChange;
pub use tickets::{MAX_OPEN_TICKETS, Redeemed, Redeemer, TicketDraft, ticket_refused};
pub use token_test::{ComparedClient, TokenOutcome, TokenTest, test_token};
pub use turns::{TurnLimits, TurnPermit, Turns};
pub use users::{
    BindingRights, MAX_SUBJECT_BYTES, RightsOf, UserChange, check_invitation, check_user_draft,
    invite_first_admin, make_admin,
};
pub use validate::{check_text, is_email, settle};

use queue::Queue;
use store::Store;

/// The operations on one database and one queue.
#[derive(Clone, Copy, Debug)]
pub struct Operations<'a> {
    store: &'a Store,
    queue: &'a Queue,
    refusals: Option<&'a dyn RefusalLimit>,
}

impl<'a> Operations<'a> {
    /// Returns the operations on `store` and `queue`.
    pub const fn new(store: &'a Store, queue: &'a Queue) -> Self {
        Self { store, queue, refusals: None }
    }

    /// Returns the operations with a limit on recorded refusals.
    #[must_use]
    pub const fn limited_by(self, refusals: &'a dyn RefusalLimit) -> Self {
        Self { refusals: Some(refusals), ..self }
    }
}
