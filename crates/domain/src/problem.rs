//! Errors as callers see them: RFC 9457 problems with stable codes.

mod remedy;

use std::time::Duration;

use serde::{Deserialize, Serialize};

macro_rules! problem_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:literal, $title:literal;)+) => {
        /// Stable code of a problem. Codes are never renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ProblemCode { $($(#[$doc])* #[serde(rename = $code)] $variant),+ }

        impl ProblemCode {
            /// Every code, ordered by status.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// Returns the code as callers see it.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $code),+ } }
            /// Returns the HTTP status of the response.
            pub const fn status(self) -> u16 { match self { $(Self::$variant => $status),+ } }
            /// Returns the short title, equal for every occurrence.
            pub const fn title(self) -> &'static str { match self { $(Self::$variant => $title),+ } }
        }
    };
}

problem_codes! {
    /// The body is not valid JSON.
    MalformedBody = "malformed_body", 400, "The body cannot be read";
    /// A header, query or path value is malformed.
    MalformedRequest = "malformed_request", 400, "The request cannot be read";
    /// The sign-in at an issuer was not completed.
    SignInFailed = "sign_in_failed", 400, "The sign-in did not succeed";
    /// The request has no bearer token.
    Unauthenticated = "unauthenticated", 401, "A bearer token is needed";
    /// The token was refused.
    InvalidToken = "invalid_token", 401, "The token is not valid";
    /// The token has expired.
    TokenExpired = "token_expired", 401, "The token has expired";
    /// The page needs a session, and there is none or it has ended.
    SessionNeeded = "session_needed", 401, "A sign-in is needed";
    /// The webhook's signature is missing or wrong.
    WebhookSignatureInvalid = "webhook_signature_invalid", 401, "The signature is not valid";
    /// The request to the dashboard came from a page of another site.
    CrossSiteRequest = "cross_site_request", 403, "The request came from another site";
    /// The token is valid but its identity is not known.
    UnknownPrincipal = "unknown_principal", 403, "No user or client has this identity";
    /// The user or machine client was deactivated.
    Inactive = "inactive", 403, "This identity has been deactivated";
    /// The caller is not an admin.
    AdminRequired = "admin_required", 403, "Only admins may do this";
    /// The caller is a viewer.
    ReadOnly = "read_only", 403, "This role is read-only";
    /// The user is not allowed to request JIT configs.
    JitNotAllowed = "jit_not_allowed", 403, "JIT configs are not allowed for this identity";
    /// This deployment does not hand out registration tokens.
    RegistrationTokensDisabled = "registration_tokens_disabled", 403, "Registration tokens are not handed out";
    /// The user is not allowed to request registration tokens.
    RegistrationTokenNotAllowed = "registration_token_not_allowed", 403, "Registration tokens are not allowed for this identity";
    /// The team's policy forbids a label.
    LabelPolicyViolation = "label_policy_violation", 403, "The label policy forbids this";
    /// The team may not use this runner group.
    RunnerGroupNotAllowed = "runner_group_not_allowed", 403, "The runner group is not allowed";
    /// The team has reached its maximum number of runners.
    QuotaExceeded = "quota_exceeded", 403, "The team's quota is used up";
    /// The caller does not belong to the team.
    TeamForbidden = "team_forbidden", 403, "Not a member of this team";
    /// The team was deactivated.
    TeamInactive = "team_inactive", 403, "The team has been deactivated";
    /// The caller is not the requester of the credential.
    CredentialDenied = "credential_denied", 403, "Only the requester may fetch this credential";
    /// The claim ticket gives this machine nothing.
    TicketRefused = "ticket_refused", 403, "The claim ticket is not accepted";
    /// The resource does not exist or the caller may not see it.
    NotFound = "not_found", 404, "Not found";
    /// The path does not support this method.
    MethodNotAllowed = "method_not_allowed", 405, "Method not allowed";
    /// The body took too long to arrive.
    RequestTimeout = "request_timeout", 408, "The request took too long to arrive";
    /// The runner name is taken.
    RunnerNameConflict = "runner_name_conflict", 409, "The runner name is taken";
    /// The runner runs a workflow job.
    RunnerBusy = "runner_busy", 409, "The runner is busy";
    /// The runner is already deleted.
    RunnerDeleted = "runner_deleted", 409, "The runner is deleted";
    /// The job is final or running.
    JobNotCancellable = "job_not_cancellable", 409, "The job can no longer be cancelled";
    /// The job did not fail, or an admin has dealt with its failure.
    JobNotRetryable = "job_not_retryable", 409, "The job cannot be retried or discarded";
    /// The job was cancelled.
    JobCancelled = "job_cancelled", 409, "The job was cancelled";
    /// The job is not done.
    CredentialNotReady = "credential_not_ready", 409, "The credential is not ready";
    /// The claim ticket was redeemed or revoked, or has expired.
    TicketSettled = "ticket_settled", 409, "The claim ticket is not open";
    /// The team has runners or jobs on its installation.
    TeamInUse = "team_in_use", 409, "The team still has runners or jobs";
    /// The change would leave no admin.
    LastAdmin = "last_admin", 409, "The last admin cannot be removed";
    /// The plan is not the one that was reviewed.
    PlanChanged = "plan_changed", 409, "The plan has changed";
    /// The plan does what needs a consent.
    PlanNeedsConsent = "plan_needs_consent", 409, "The plan needs a consent";
    /// A resource with this name exists.
    AlreadyExists = "already_exists", 409, "The resource already exists";
    /// The credential was handed out or has expired.
    CredentialGone = "credential_gone", 410, "The credential is gone";
    /// The body is too large.
    PayloadTooLarge = "payload_too_large", 413, "The body is too large";
    /// The content type is not JSON.
    UnsupportedMediaType = "unsupported_media_type", 415, "The body must be application/json";
    /// A value is invalid; `errors` says which.
    ValidationFailed = "validation_failed", 422, "The request is not valid";
    /// The caller has several teams and named none.
    TeamRequired = "team_required", 422, "A team must be named";
    /// The Idempotency-Key was used with another body.
    IdempotencyMismatch = "idempotency_mismatch", 422, "The Idempotency-Key was used for another request";
    /// The caller sent too many requests.
    RateLimited = "rate_limited", 429, "Too many requests";
    /// The team's waiting jobs would keep this one from starting in time.
    TeamBacklog = "team_backlog", 429, "The team has too many waiting jobs";
    /// Internal error.
    InternalError = "internal_error", 500, "Internal error";
    /// The job's worker died too often.
    JobPoisoned = "job_poisoned", 500, "The job could not be run";
    /// GitHub refused the call.
    GithubRefused = "github_refused", 502, "GitHub refused";
    /// GitHub or its limits kept the job from being done in time.
    GithubUnavailable = "github_unavailable", 503, "GitHub is unavailable";
    /// The config was sealed with a key that this process does not have.
    CredentialKeyMissing = "credential_key_missing", 503, "The config cannot be opened yet";
    /// The job was not done before its deadline.
    JobExpired = "job_expired", 503, "The job was not done in time";
    /// The database cannot be reached.
    DatabaseUnavailable = "database_unavailable", 503, "The database is unavailable";
    /// A newer version of the service wrote a row that this process cannot read.
    NewerVersion = "newer_version", 503, "Written by a newer version";
    /// The backlog or GitHub's limits would keep the job from starting in time.
    ServiceBacklog = "service_backlog", 503, "Too many jobs are waiting";
    /// No connection is free.
    Overloaded = "overloaded", 503, "Too many connections";
    /// The queue cannot be reached and this request needs it.
    QueueUnavailable = "queue_unavailable", 503, "The queue is unavailable";
    /// No webhook secret is configured.
    WebhooksDisabled = "webhooks_disabled", 503, "Webhooks are not accepted";
    /// The identity provider's keys cannot be fetched.
    KeysUnavailable = "keys_unavailable", 503, "The identity provider is unavailable";
}

/// One invalid value of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Location: a JSON pointer into the body, or `query:name`, `header:name`, `path:name`.
    pub pointer: String,
    /// Fault, as a sentence.
    pub detail: String,
}

impl FieldError {
    /// Returns an error for the value at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// One occurrence of a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {detail}", code.as_str())]
pub struct Problem {
    /// Stable code.
    pub code: ProblemCode,
    /// Explanation for people.
    pub detail: String,
    /// Invalid values, if any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Seconds after which a retry may succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// Returns a problem with this explanation.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// Returns `validation_failed` for one value.
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(pointer, detail)])
    }

    /// Returns `validation_failed` for several values.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        Self::new(ProblemCode::ValidationFailed, "One or more values are not valid.").with_errors(errors)
    }

    /// Returns `not_found`, with equal text for missing resources and those the caller may not see.
    pub fn not_found(what: &str) -> Self {
        Self::new(ProblemCode::NotFound, format!("No such {what}, or you are not allowed to see it."))
    }

    /// Returns `job_expired`, with equal text in every process that detects it.
    pub fn job_expired() -> Self {
        let detail = "The job was not done before its deadline and will not be run late; ask again.";
        Self::new(ProblemCode::JobExpired, detail)
    }

    /// Returns `newer_version`, for a row that this version cannot read.
    pub fn newer_version() -> Self {
        let detail =
            "A newer version of the service wrote this, and this process cannot read it; try again shortly.";
        Self::new(ProblemCode::NewerVersion, detail).retry_after(10)
    }

    /// Returns the problem with these invalid values.
    #[must_use]
    pub fn with_errors(self, errors: Vec<FieldError>) -> Self {
        Self { errors, ..self }
    }

    /// Returns the problem with a retry time, in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }
}

/// Returns whole seconds for [`Problem::retry_after`]: rounded up, at least one.
pub fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}
