//! What can go wrong, in the words callers see: RFC 9457 problems with stable codes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

macro_rules! problems {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:literal, $title:literal;)+) => {
        /// A stable code. Codes are never renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ProblemCode { $($(#[$doc])* #[serde(rename = $code)] $variant),+ }

        impl ProblemCode {
            /// Every code, in order of their status.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The code as callers see it.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $code),+ } }
            /// The HTTP status it answers with.
            pub const fn status(self) -> u16 { match self { $(Self::$variant => $status),+ } }
            /// A short title, the same for every occurrence.
            pub const fn title(self) -> &'static str { match self { $(Self::$variant => $title),+ } }
        }
    };
}

problems! {
    /// The body is no JSON.
    MalformedBody = "malformed_body", 400, "The body cannot be read";
    /// A header, query or path value cannot be read.
    MalformedRequest = "malformed_request", 400, "The request cannot be read";
    /// No bearer token.
    Unauthenticated = "unauthenticated", 401, "A bearer token is needed";
    /// The token was refused.
    InvalidToken = "invalid_token", 401, "The token is not valid";
    /// The token's time is over.
    TokenExpired = "token_expired", 401, "The token has expired";
    /// The webhook is not GitHub's.
    WebhookSignatureInvalid = "webhook_signature_invalid", 401, "The signature is not valid";
    /// A valid token of someone we do not know.
    UnknownPrincipal = "unknown_principal", 403, "Nobody here has this identity";
    /// The user, client or team was switched off.
    Inactive = "inactive", 403, "This identity has been deactivated";
    /// Only admins may do this.
    AdminRequired = "admin_required", 403, "Only admins may do this";
    /// A viewer may change nothing.
    ReadOnly = "read_only", 403, "This role only reads";
    /// The user may not have JIT configs.
    JitNotAllowed = "jit_not_allowed", 403, "JIT configs are not allowed for this identity";
    /// Registration tokens are not handed out here.
    RegistrationTokensDisabled = "registration_tokens_disabled", 403, "Registration tokens are not handed out";
    /// The user may not have registration tokens.
    RegistrationTokenNotAllowed = "registration_token_not_allowed", 403, "Registration tokens are not allowed for this identity";
    /// The team's policy forbids a label.
    LabelPolicyViolation = "label_policy_violation", 403, "The label policy forbids this";
    /// The team may not use this runner group.
    RunnerGroupNotAllowed = "runner_group_not_allowed", 403, "The runner group is not allowed";
    /// The team has as many runners as it may have.
    QuotaExceeded = "quota_exceeded", 403, "The team's quota is used up";
    /// The caller does not belong to the team.
    TeamForbidden = "team_forbidden", 403, "Not a member of this team";
    /// The team was switched off.
    TeamInactive = "team_inactive", 403, "The team has been deactivated";
    /// Only the requester gets the credential.
    CredentialDenied = "credential_denied", 403, "Only the requester may fetch this credential";
    /// No such thing, or not yours to see.
    NotFound = "not_found", 404, "Not found";
    /// The path knows other methods.
    MethodNotAllowed = "method_not_allowed", 405, "Method not allowed";
    /// The body took too long to arrive.
    RequestTimeout = "request_timeout", 408, "The request took too long to arrive";
    /// The runner name is taken.
    RunnerNameConflict = "runner_name_conflict", 409, "The runner name is taken";
    /// The runner runs a workflow job.
    RunnerBusy = "runner_busy", 409, "The runner is busy";
    /// The runner is gone already.
    RunnerDeleted = "runner_deleted", 409, "The runner is deleted";
    /// The job is final or under way.
    JobNotCancellable = "job_not_cancellable", 409, "The job can no longer be cancelled";
    /// The job was cancelled.
    JobCancelled = "job_cancelled", 409, "The job was cancelled";
    /// The job is not done.
    CredentialNotReady = "credential_not_ready", 409, "The credential is not ready";
    /// The team has runners or jobs where it is.
    TeamInUse = "team_in_use", 409, "The team has runners or jobs";
    /// Nobody could administer the service afterwards.
    LastAdmin = "last_admin", 409, "The last admin stays";
    /// Something of that name exists.
    AlreadyExists = "already_exists", 409, "It exists already";
    /// The credential was handed out or expired.
    CredentialGone = "credential_gone", 410, "The credential is gone";
    /// The body is too large.
    PayloadTooLarge = "payload_too_large", 413, "The body is too large";
    /// The body is no JSON by its content type.
    UnsupportedMediaType = "unsupported_media_type", 415, "The body must be application/json";
    /// A value is wrong; `errors` says which.
    ValidationFailed = "validation_failed", 422, "The request is not valid";
    /// Several teams: say which.
    TeamRequired = "team_required", 422, "Say which team";
    /// Same Idempotency-Key, other body.
    IdempotencyMismatch = "idempotency_mismatch", 422, "The Idempotency-Key was used for another request";
    /// Too many requests of this caller.
    RateLimited = "rate_limited", 429, "Too many requests";
    /// The team has so much waiting that the job could not start in time.
    TeamBacklog = "team_backlog", 429, "The team has too much waiting";
    /// A fault of ours.
    InternalError = "internal_error", 500, "An error of ours";
    /// The job killed its worker again and again.
    JobPoisoned = "job_poisoned", 500, "The job could not be run";
    /// GitHub said no.
    GithubRefused = "github_refused", 502, "GitHub refused";
    /// GitHub or its limits did not let the job through in time.
    GithubUnavailable = "github_unavailable", 503, "GitHub is unavailable";
    /// The config was sealed with a key that this process does not have.
    CredentialKeyMissing = "credential_key_missing", 503, "The config cannot be opened yet";
    /// The job was not done before its deadline.
    JobExpired = "job_expired", 503, "The job was not done in time";
    /// The database is away.
    DatabaseUnavailable = "database_unavailable", 503, "The database is unavailable";
    /// So much is waiting, or GitHub's limits are used up for so long, that the job could not start in time.
    ServiceBacklog = "service_backlog", 503, "Too much is waiting";
    /// The service has no connection left.
    Overloaded = "overloaded", 503, "Too many connections";
    /// The queue is away; only what needs it at once answers so.
    QueueUnavailable = "queue_unavailable", 503, "The queue is unavailable";
    /// No webhook secret is configured.
    WebhooksDisabled = "webhooks_disabled", 503, "Webhooks are not taken";
    /// The identity provider's keys cannot be had.
    KeysUnavailable = "keys_unavailable", 503, "The identity provider is unavailable";
}

/// One wrong value: where (a JSON pointer into the body, or `query:name`, `header:name`, `path:name`) and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Where.
    pub pointer: String,
    /// What is wrong.
    pub detail: String,
}

impl FieldError {
    /// A wrong value at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// One occurrence of a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {detail}", code.as_str())]
pub struct Problem {
    /// Which.
    pub code: ProblemCode,
    /// A sentence for a person.
    pub detail: String,
    /// The wrong values, where there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Seconds after which trying again makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// A problem with a sentence of its own.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// `validation_failed` for one value.
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(pointer, detail)])
    }

    /// `validation_failed` for several values.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        Self::new(ProblemCode::ValidationFailed, "One or more values are not valid.").with_errors(errors)
    }

    /// `not_found`, in the same words for what is not there and what is not yours.
    pub fn not_found(what: &str) -> Self {
        Self::new(ProblemCode::NotFound, format!("There is no such {what}, or it is not yours to see."))
    }

    /// `job_expired`, in the same words whoever notices it.
    pub fn job_expired() -> Self {
        let detail = "The job was not done before its deadline and will not be run late; ask again.";
        Self::new(ProblemCode::JobExpired, detail)
    }

    /// With the values that are wrong.
    #[must_use]
    pub fn with_errors(self, errors: Vec<FieldError>) -> Self {
        Self { errors, ..self }
    }

    /// With a time after which to try again.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }
}

/// Returns whole seconds, rounded up, at least one: what [`Problem::retry_after`] takes.
pub fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}
