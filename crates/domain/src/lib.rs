//! Domain model: ids, states, transitions, policy, problems and secrets.
//!
//! The crate does no I/O: it never awaits, reads a clock or opens a file.

mod access;
mod audit;
mod audit_chain;
mod batch;
mod call;
mod caller;
mod caller_checks;
mod check;
mod claim_rule;
mod claim_ticket;
mod cloud_event;
mod error_chain;
mod event_alias;
mod filter_words;
mod flow;
mod glob;
mod hash;
mod ids;
mod incident;
mod job;
mod job_history;
mod json;
mod json_text;
mod label;
mod lane;
mod policy;
mod policy_case;
mod problem;
mod replay;
mod role;
mod rule_comparison;
mod run_commands;
mod runner;
mod scaling;
mod seal;
mod sealing_key;
mod secret;
mod string_enum;
mod sync;
mod team;
mod teams_file;
mod text;
mod tls_advice;
mod token_facts;
mod verdict;
mod version;
mod webhook;
mod webhook_key;

pub use access::Access;
pub use audit::{ActionTaken, AuditEntry, AuditFormat, Origin, SecurityEvent, Severity};
pub use audit_chain::{
    AuditBlock, AuditChain, AuditKeys, AuditPublicKeys, BadChainHash, BadPublicKey, ChainHash, ChainHead,
    ChainPlace, ChainRow, Checkpoint, CheckpointSignature, MAX_BLOCK_ROWS, MissingKey,
};
pub use batch::{BatchAction, BatchItemState, BatchState};
pub use call::{Call, CallState, reap_due};
pub use caller::{Caller, MachineClient, Membership, Requester, User};
pub use caller_checks::CallerChecks;
pub use check::{Check, CheckKind, first_refusal};
pub use claim_rule::ClaimRule;
pub use claim_ticket::{
    AddressRange, BadAddressRange, ClaimTicket, MAX_TICKET_RANGES, TICKET_REPEAT_TIME, TicketClaim,
    TicketHolder, TicketIdentity, TicketRunner, TicketSecret, TicketState, TicketUse, redemption_key,
};
pub use cloud_event::{
    BadEventGlob, CLOUD_EVENT_MEDIA_TYPE, CloudEvent, EventDeliveryState, EventFacts, EventFilter, EventGlob,
};
pub use error_chain::error_chain;
pub use event_alias::{AUDIT_ALIASES, SECURITY_ALIASES, resolve_audit_event, resolve_security_event};
pub use filter_words::{FilterWords, filter_parts};
pub use flow::{FLOW_BOUNDS_MS, FLOW_BUCKETS, FlowCounts, FlowPoint, TeamFlow, merge_flow};
pub use glob::{check_glob, check_repository_glob};
pub use hash::sha256_hex;
pub use ids::{
    BadInstallationId, CallId, ClientId, EventDeliveryId, InstallationId, JobId, RunnerId, SecurityEventId,
    TeamId, TicketId, UserId,
};
pub use incident::{IncidentItemKind, IncidentItemState, IncidentKind, IncidentState};
pub use job::{
    BlockedOn, Job, JobKind, JobParams, JobState, MAX_PREFIX, MAX_RESCUES, NotRunnable, ReclaimReason,
    Removal, RequestedName, busy_delay, retry_delay,
};
pub use job_history::{JobEvent, JobEventKind, JobHistory, JobStop, MAX_JOB_STOPS};
pub use json::{
    Json, JsonError, escape_pointer, json_pointer, nearest_word, plain_fault, read_json, with_nearest_word,
};
pub use json_text::clean_json;
pub use label::{
    MAX_LABEL, check_label, fold_label, is_look_alike, is_reserved_label, is_system_label, normalize_label,
};
pub use lane::Lane;
pub use policy::{
    LabelBreach, LabelOverlap, LabelPattern, LabelPolicy, LabelRule, MAX_LABELS, MAX_PATTERN, MAX_PATTERNS,
    find_overlaps,
};
pub use policy_case::CaseOutcome;
pub use problem::{FieldError, Problem, ProblemCode, whole_seconds};
pub use replay::{PastRequest, Replayed};
pub use role::Role;
pub use rule_comparison::{ClaimComparison, RuleComparison};
pub use run_commands::{JIT_CONFIG_VARIABLE, RunCommands, shell_quote};
pub use runner::{BadRunnerName, Runner, RunnerName, RunnerStatus, has_generated_form, is_name_prefix};
pub use scaling::{Scaling, WaitingJobs};
pub use seal::{KeyRing, SealError, Sealed, credential_context};
pub use sealing_key::{BadSealingKey, SealedConfig, SealingKey, SealingKeyPair, sealed_config_context};
pub use secret::{PasswordSource, Secret};
pub use string_enum::ParseEnumError;
pub use sync::{
    Absence, BLAST_RADIUS_MIN, BLAST_RADIUS_PERCENT, Deviation, DriftRules, LiveRunner, MISSES_BEFORE_CHECK,
    MISSES_OF_ANY_KIND, Observation, REGISTRATION_GRACE, REMOVAL_APPROVAL_TTL, Remedy, SeenLabel, SeenRunner,
    Source, StatusChange, Suspect, SyncFindings, SyncPass, transition,
};
pub use team::{Admission, DriftResponse, ListMatch, PolicyChecks, ProvisionRequest, Team};
pub use teams_file::{CaseEntry, ClientEntry, PersonEntry, TeamEntry, TeamsFile};
pub use text::{NO_CONTROLS, is_clean, sanitized};
pub use tls_advice::tls_advice;
pub use token_facts::{Principal, TokenFacts};
pub use verdict::{
    BreakerPicture, BudgetPicture, InstallationPicture, LanePicture, LeaderPicture, PauseCause, PausePicture,
    PauseScope, Picture, QueuePicture, SentencePart, SyncPicture, TeamPicture, UnacknowledgedEvents, Verdict,
    VerdictCode, VerdictLevel, WindowPicture, WorkerPicture,
};
pub use version::{BadVersion, CutOff, DEPRECATION_NOTICE, RunnerVersion, VersionState};
pub use webhook::{
    Content, Decision, Delivery, EventIgnored, InstallationChange, InstallationEvent, InvalidJson,
    PolicyViolation, WebhookEvent, WebhookSource, WorkflowJob, WorkflowMark,
};
pub use webhook_key::{BadWebhookKey, WebhookKey, sign_webhook};
