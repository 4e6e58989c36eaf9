//! Rules of the authorization matrix: who may call each operation, and how it answers those who may.

/// Kinds of callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    NoToken,
    BadToken,
    /// A valid token of no user.
    Unknown,
    /// A deactivated member of team red.
    Inactive,
    /// A member of team red, who requested the runner and the job of the path.
    Member,
    /// A member of another team.
    Outsider,
    Viewer,
    /// A machine client of team red.
    Machine,
    /// A machine client of a deactivated team.
    IdleMachine,
    Admin,
}

impl Who {
    pub(super) const ALL: &[Self] = &[
        Self::NoToken,
        Self::BadToken,
        Self::Unknown,
        Self::Inactive,
        Self::Member,
        Self::Outsider,
        Self::Viewer,
        Self::Machine,
        Self::IdleMachine,
        Self::Admin,
    ];
}

/// An answer: its status, and its problem code, which is empty for a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer(pub(super) u16, pub(super) &'static str);

/// Groups of callers who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Everyone, without a token.
    Everyone,
    /// Every known caller, machine clients of a deactivated team included.
    Known,
    /// Every active caller; viewers only read.
    Callers,
    /// Those of team red; others must not learn that the resource exists.
    Team,
    /// People, not machine clients.
    People,
    /// People of team red; others must not learn that the team exists.
    TeamPeople,
    /// Admins and viewers.
    Readers,
    /// Admins.
    Admins,
}

/// Rule of one operation.
pub(super) struct Rule {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    allowed: Allowed,
    /// Answer to those who may, with the body `{}`.
    answer: Answer,
    /// Callers whose answer differs for a reason of its own.
    except: &'static [(Who, Answer)],
}

const OK: Answer = Answer(200, "");
const ACCEPTED: Answer = Answer(202, "");
/// The world of the matrix has no worker.
const NO_WORKER: Answer = Answer(503, "");
/// The caller may, and the runner is still being provisioned.
const BUSY: Answer = Answer(409, "runner_busy");
const NO_CONTENT: Answer = Answer(204, "");
/// The caller may, and the body `{}` lacks something.
const INVALID: Answer = Answer(422, "validation_failed");
const ADMIN_REQUIRED: Answer = Answer(403, "admin_required");
const READ_ONLY: Answer = Answer(403, "read_only");
const HIDDEN: Answer = Answer(404, "not_found");
const DENIED: Answer = Answer(403, "credential_denied");
/// The caller may, and the job has not failed.
const NOT_FAILED: Answer = Answer(409, "job_not_retryable");

impl Rule {
    /// Returns the answer this caller must get.
    pub(super) fn expected(&self, who: Who) -> Answer {
        if self.allowed == Allowed::Everyone {
            return self.answer;
        }
        let except = self.except.iter().find(|(whose, _)| *whose == who);
        except.map_or_else(|| self.refusal(who).unwrap_or(self.answer), |(_, answer)| *answer)
    }

    /// Returns the refusal of a caller who may not.
    fn refusal(&self, who: Who) -> Option<Answer> {
        use Allowed::{Admins, Callers, Everyone, Known, People, Team, TeamPeople};
        let stranger = match who {
            Who::NoToken => Some(Answer(401, "unauthenticated")),
            Who::BadToken => Some(Answer(401, "invalid_token")),
            Who::Unknown => Some(Answer(403, "unknown_principal")),
            Who::Inactive => Some(Answer(403, "inactive")),
            _ => None,
        };
        if stranger.is_some() || matches!(self.allowed, Everyone | Known) {
            return stranger;
        }
        let may = match who {
            Who::Member => matches!(self.allowed, Callers | Team | People | TeamPeople),
            Who::Outsider => matches!(self.allowed, Callers | People),
            Who::Machine => matches!(self.allowed, Callers | Team),
            Who::Viewer => self.method == "GET" && self.allowed != Admins,
            Who::Admin => true,
            _ => false,
        };
        let refusal = match who {
            Who::IdleMachine => Answer(403, "team_inactive"),
            Who::Viewer if self.method != "GET" => READ_ONLY,
            Who::Outsider if matches!(self.allowed, Team | TeamPeople) => HIDDEN,
            _ => ADMIN_REQUIRED,
        };
        (!may).then_some(refusal)
    }
}

macro_rules! exceptions {
    () => {
        &[]
    };
    ($except:expr) => {
        $except
    };
}

macro_rules! rules {
    ($($method:ident $path:literal: $allowed:ident, $answer:expr $(, except $except:expr)?;)+) => {
        pub(super) const RULES: &[Rule] = &[$(Rule {
            method: stringify!($method),
            path: $path,
            allowed: Allowed::$allowed,
            answer: $answer,
            except: exceptions!($($except)?),
        }),+];
    };
}

rules! {
    GET "/health/live": Everyone, OK;
    GET "/health/ready": Everyone, NO_WORKER;
    GET "/health": Everyone, NO_WORKER;
    GET "/metrics": Everyone, OK;
    GET "/api/v1/auth/config": Everyone, OK;
    POST "/api/v1/webhooks/github": Everyone, Answer(503, "webhooks_disabled");

    GET "/api/v1/auth/me": Known, OK;
    GET "/api/v1/auth/my-label-policy": Callers, OK,
        except &[(Who::Viewer, Answer(403, "team_forbidden")), (Who::Admin, Answer(403, "team_forbidden"))];
    GET "/api/v1/teams/my-teams": Callers, OK;
    GET "/api/v1/status": Callers, OK;
    GET "/api/v1/audit-logs": Callers, OK;

    POST "/api/v1/runners/jit": Callers, INVALID;
    POST "/api/v1/runners/provision": Callers, INVALID;
    GET "/api/v1/runners": Callers, OK;
    GET "/api/v1/runners/{runner_id}": Team, OK;
    DELETE "/api/v1/runners/{runner_id}": Team, BUSY;
    POST "/api/v1/runners/{runner_id}/refresh": Team, BUSY;

    GET "/api/v1/runners/tickets": Callers, OK;
    POST "/api/v1/runners/tickets": Callers, INVALID;
    POST "/api/v1/runners/tickets/redeem": Everyone, INVALID;
    POST "/api/v1/runners/tickets/{ticket_id}/revoke": Team, OK,
        except &[(Who::Machine, DENIED)];

    GET "/api/v1/jobs": Callers, OK;
    GET "/api/v1/jobs/{job_id}": Team, OK;
    DELETE "/api/v1/jobs/{job_id}": Team, OK, except &[(Who::Machine, DENIED)];
    GET "/api/v1/jobs/{job_id}/events": Team, OK;
    POST "/api/v1/jobs/{job_id}/credential": Team, Answer(409, "credential_not_ready"),
        except &[(Who::Machine, DENIED), (Who::Admin, DENIED)];

    GET "/api/v1/admin/teams": People, OK;
    POST "/api/v1/admin/teams": Admins, INVALID;
    GET "/api/v1/admin/teams/{team_id}": TeamPeople, OK;
    PATCH "/api/v1/admin/teams/{team_id}": Admins, OK;
    POST "/api/v1/admin/teams/{team_id}/deactivate": Admins, INVALID;
    POST "/api/v1/admin/teams/{team_id}/reactivate": Admins, OK;
    GET "/api/v1/admin/teams/{team_id}/members": TeamPeople, OK;
    POST "/api/v1/admin/teams/{team_id}/members": Admins, INVALID;
    DELETE "/api/v1/admin/teams/{team_id}/members/{user_id}": Admins, NO_CONTENT;
    GET "/api/v1/admin/teams/{team_id}/audit-logs": TeamPeople, OK;
    GET "/api/v1/admin/teams/{team_id}/security-events": TeamPeople, OK;

    GET "/api/v1/admin/users": Readers, OK;
    POST "/api/v1/admin/users": Admins, INVALID;
    GET "/api/v1/admin/users/{user_id}": Readers, OK;
    PUT "/api/v1/admin/users/{user_id}": Admins, OK;
    PATCH "/api/v1/admin/users/{user_id}": Admins, OK;
    DELETE "/api/v1/admin/users/{user_id}": Admins, NO_CONTENT;
    POST "/api/v1/admin/users/{user_id}/activate": Admins, OK;
    POST "/api/v1/admin/users/{user_id}/unbind": Admins, OK;
    GET "/api/v1/admin/users/{user_id}/sessions": Readers, OK;
    DELETE "/api/v1/admin/users/{user_id}/sessions": Admins, OK;
    DELETE "/api/v1/admin/users/{user_id}/sessions/{session_id}": Admins, HIDDEN;

    GET "/api/v1/admin/oauth-clients": Readers, OK;
    POST "/api/v1/admin/oauth-clients": Admins, INVALID;
    POST "/api/v1/admin/oauth-clients/test-token": Admins, INVALID;
    GET "/api/v1/admin/oauth-clients/{id}": Readers, OK;
    PATCH "/api/v1/admin/oauth-clients/{id}": Admins, OK;
    DELETE "/api/v1/admin/oauth-clients/{id}": Admins, NO_CONTENT;

    GET "/api/v1/admin/security-events": Readers, OK;
    POST "/api/v1/admin/security-events/{event_id}/acknowledge": Admins, HIDDEN;
    GET "/api/v1/admin/event-streams": Readers, OK;
    GET "/api/v1/admin/event-deliveries": Readers, OK;
    POST "/api/v1/admin/event-deliveries/{delivery_id}/retry": Admins, HIDDEN;
    GET "/api/v1/admin/stats": Readers, OK;
    GET "/api/v1/admin/settings": Readers, OK;
    GET "/api/v1/admin/sync/status": Readers, OK;
    POST "/api/v1/admin/sync/trigger": Admins, ACCEPTED;
    GET "/api/v1/admin/runners/unmanaged": Readers, OK;
    GET "/api/v1/admin/runners/versions": Readers, OK;
    GET "/api/v1/admin/queues": Readers, OK;
    POST "/api/v1/admin/queues/{lane}/pause": Admins, INVALID;
    POST "/api/v1/admin/queues/{lane}/resume": Admins, OK;
    POST "/api/v1/admin/installations/{installation}/pause": Admins, INVALID;
    POST "/api/v1/admin/installations/{installation}/resume": Admins, HIDDEN;
    GET "/api/v1/admin/budget": Readers, OK;
    GET "/api/v1/admin/workers": Readers, OK;
    POST "/api/v1/admin/workers/{name}/drain": Admins, HIDDEN;
    GET "/api/v1/admin/verdict": Readers, OK;
    GET "/api/v1/admin/flow": Readers, OK;
    GET "/api/v1/admin/failures": Readers, OK;
    POST "/api/v1/admin/jobs/{job_id}/retry": Admins, NOT_FAILED;
    POST "/api/v1/admin/jobs/{job_id}/discard": Admins, NOT_FAILED;
    GET "/api/v1/admin/doctor": Readers, OK;

    // These read, although their question is a body.
    POST "/api/v1/policies/explain": Callers, OK, except &[(Who::Viewer, OK)];
    POST "/api/v1/admin/policies/explain": Readers, INVALID, except &[(Who::Viewer, INVALID)];
    POST "/api/v1/admin/policies/replay": Readers, INVALID, except &[(Who::Viewer, INVALID)];
    POST "/api/v1/admin/apply": Admins, INVALID;
    GET "/api/v1/admin/export/teams": Readers, OK;

    GET "/api/v1/admin/audit-logs/export": Readers, OK;
    POST "/api/v1/admin/batch/disable-users": Admins, INVALID;
    POST "/api/v1/admin/batch/restore-users": Admins, INVALID;
    POST "/api/v1/admin/batch/delete-runners": Admins, INVALID;
    POST "/api/v1/admin/batch/deactivate-teams": Admins, INVALID;
    POST "/api/v1/admin/batch/reactivate-teams": Admins, INVALID;
    POST "/api/v1/admin/batch/retry-jobs": Admins, INVALID;
    POST "/api/v1/admin/batch/discard-jobs": Admins, INVALID;
    GET "/api/v1/admin/batch": Readers, OK;
    GET "/api/v1/admin/batch/{batch_id}": Readers, HIDDEN;
    POST "/api/v1/admin/batch/{batch_id}/stop": Admins, HIDDEN;
    POST "/api/v1/admin/batch/{batch_id}/resume": Admins, HIDDEN;
    GET "/api/v1/admin/incidents": Readers, OK;
    POST "/api/v1/admin/incidents": Admins, INVALID;
    GET "/api/v1/admin/incidents/{incident_id}": Readers, HIDDEN;
    POST "/api/v1/admin/incidents/{incident_id}/undo": Admins, HIDDEN;
}
