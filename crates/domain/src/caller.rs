//! Callers: identities, roles and the permissions that follow from them.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::{ClaimRule, ClientId, Job, Principal, Problem, ProblemCode, TeamId, UserId};

/// Owner of a request, as a reference to a stored user or machine client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Requester {
    /// A user.
    User(UserId),
    /// A machine client.
    Client(ClientId),
}

impl Requester {
    /// Returns the user's id, if the requester is a user.
    pub const fn user(self) -> Option<UserId> {
        match self {
            Self::User(id) => Some(id),
            Self::Client(_) => None,
        }
    }

    /// Returns the client's id, if the requester is a machine client.
    pub const fn client(self) -> Option<ClientId> {
        match self {
            Self::Client(id) => Some(id),
            Self::User(_) => None,
        }
    }

    /// Builds a requester from two columns of which exactly one is set; `None` otherwise.
    pub fn from_columns(user: Option<UserId>, client: Option<ClientId>) -> Option<Self> {
        user.map(Self::User).or(client.map(Self::Client))
    }
}

impl fmt::Display for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Client(id) => write!(f, "client:{id}"),
        }
    }
}

/// One stored user.
#[expect(clippy::struct_excessive_bools, reason = "four independent permissions, as the API shows them")]
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Id of the user.
    pub id: UserId,
    /// E-mail address, as an admin entered it or the first token carried it.
    pub email: Option<String>,
    /// Token issuer; together with `subject` the identity, once bound.
    pub issuer: Option<String>,
    /// Token subject.
    pub subject: Option<String>,
    /// Display name.
    pub display_name: Option<String>,
    /// Whether the user is an admin.
    pub is_admin: bool,
    /// Whether the user is a viewer, who sees everything and changes nothing.
    pub is_viewer: bool,
    /// Whether the user is active; inactive users may do nothing.
    pub is_active: bool,
    /// Whether the user may request JIT configs.
    pub can_use_jit: bool,
    /// Whether the user may request registration tokens.
    pub can_use_registration_token: bool,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
    /// Time of the last valid token, accurate to about five minutes.
    pub last_login_at: Option<DateTime<Utc>>,
}

/// One stored machine client: matching tokens act for one team.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineClient {
    /// Id of the machine client.
    pub id: ClientId,
    /// Client id at the identity provider (`azp`, `client_id` or `sub` of its tokens).
    pub client_id: String,
    /// Accepted token issuer.
    pub issuer: String,
    /// Team the client acts for.
    pub team: TeamId,
    /// Free text.
    pub description: Option<String>,
    /// Rule that selects tokens without a client id (GitHub Actions, Kubernetes).
    pub rule: Option<ClaimRule>,
    /// Whether the client is active; inactive clients may do nothing.
    pub is_active: bool,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
    /// Time of the last valid token, accurate to about five minutes.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Identity of the admin who added the client; `None` for clients of an earlier release and of files.
    pub created_by: Option<String>,
}

/// One team of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Id of the team.
    pub id: TeamId,
    /// Name of the team.
    pub name: String,
    /// Whether the team is active.
    pub is_active: bool,
}

/// An authorised caller.
#[expect(clippy::struct_excessive_bools, reason = "independent rights of a person")]
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// The user or machine client.
    pub requester: Requester,
    /// Identity shown in audit rows: an e-mail address, else `issuer#subject`; for a machine client its id.
    pub identity: String,
    /// Issuer and subject of the token. One machine client may act through many principals.
    pub principal: Principal,
    /// E-mail address of a user, as an admin entered it or the first token carried it.
    pub email: Option<String>,
    /// Claims that distinguish the runs of a machine client, for audit rows.
    pub claims: Option<serde_json::Value>,
    /// Display name.
    pub display_name: Option<String>,
    /// Whether the caller is an admin.
    pub is_admin: bool,
    /// Whether the caller is a viewer, who sees everything, changes nothing and gets no config.
    pub is_viewer: bool,
    /// Whether the caller may request JIT configs.
    pub can_use_jit: bool,
    /// Whether the caller may request registration tokens, if the deployment hands them out.
    pub can_use_registration_token: bool,
    /// Teams of the caller, sorted by name.
    pub teams: Vec<Membership>,
}

impl Caller {
    /// Returns the caller that a user is, with a token of `principal`.
    pub fn of_user(user: User, principal: Principal, teams: Vec<Membership>) -> Self {
        let named = || Some(format!("{}#{}", user.issuer.as_deref()?, user.subject.as_deref()?));
        Self {
            requester: Requester::User(user.id),
            identity: user.email.clone().or_else(named).unwrap_or_else(|| user.id.to_string()),
            principal,
            email: user.email,
            claims: None,
            display_name: user.display_name,
            is_admin: user.is_admin,
            is_viewer: user.is_viewer,
            can_use_jit: user.can_use_jit,
            can_use_registration_token: user.can_use_registration_token,
            teams,
        }
    }

    /// Returns the caller that a machine client is, with a token of `principal`. A registration token can register any
    /// number of runners, so it is for people alone.
    pub fn of_client(client: &MachineClient, principal: Principal, team: Membership) -> Self {
        Self {
            requester: Requester::Client(client.id),
            identity: client.client_id.clone(),
            principal,
            email: None,
            claims: None,
            display_name: client.description.clone(),
            is_admin: false,
            is_viewer: false,
            can_use_jit: true,
            can_use_registration_token: false,
            teams: vec![team],
        }
    }

    /// Returns whether the caller may see a resource of `team` and `owner`.
    pub fn may_see(&self, team: Option<TeamId>, owner: Option<Requester>) -> bool {
        self.sees_everything()
            || owner == Some(self.requester)
            || team.is_some_and(|team| self.is_member(team))
    }

    /// Returns whether the caller sees the resources of all callers.
    pub const fn sees_everything(&self) -> bool {
        self.is_admin || self.is_viewer
    }

    /// Returns whether the caller is read-only. An admin is never read-only, even if also a viewer.
    pub const fn only_reads(&self) -> bool {
        self.is_viewer && !self.is_admin
    }

    /// Returns whether the caller requested the job: the same user, or the same machine client with the same issuer and
    /// subject. Jobs accepted by an earlier release record no subject; there the machine client alone decides.
    pub fn asked_for(&self, job: &Job) -> bool {
        let same_subject = |asked: &[u8]| self.principal.fingerprint().as_slice() == asked;
        job.requester == Some(self.requester)
            && (self.requester.user().is_some() || job.asked_by.as_deref().is_none_or(same_subject))
    }

    /// Returns whether the caller may cancel the job.
    ///
    /// Members may cancel jobs requested by their team, as they may remove the resulting runner. A machine client may
    /// cancel jobs requested by its own issuer and subject. Only admins may cancel jobs created by the service itself.
    pub fn may_cancel(&self, job: &Job) -> bool {
        self.is_admin
            || match self.requester {
                Requester::User(_) => job.requester.is_some() && self.may_see(job.team, job.requester),
                Requester::Client(_) => self.asked_for(job),
            }
    }

    /// Returns whether the caller belongs to `team`.
    pub fn is_member(&self, team: TeamId) -> bool {
        self.teams.iter().any(|membership| membership.id == team)
    }

    /// Returns the id of the team that a request names by id or name. Only names of the caller's own teams count, since
    /// a request must not reveal which others exist; any other name gives the nil id, to which no caller belongs.
    pub fn named_team(&self, named: &str) -> TeamId {
        let own = || self.teams.iter().find(|team| team.name.eq_ignore_ascii_case(named));
        named.parse().unwrap_or_else(|_| own().map_or(TeamId::NIL, |team| team.id))
    }

    /// Returns the team of a request: the named one, or the caller's only one.
    ///
    /// # Errors
    /// `team_forbidden` if the caller does not belong to the named team or to any team; `team_required` listing the
    /// caller's teams if none is named and there are several.
    pub fn choose_team(&self, named: Option<TeamId>) -> Result<TeamId, Problem> {
        match (named, self.teams.as_slice()) {
            (Some(team), _) if self.is_member(team) => Ok(team),
            (Some(_), _) => {
                let detail = "You do not belong to this team; name one of yours, or ask an admin to add you.";
                Err(Problem::new(ProblemCode::TeamForbidden, detail))
            }
            (None, [only]) => Ok(only.id),
            (None, []) => {
                Err(Problem::new(ProblemCode::TeamForbidden, "You belong to no team yet; ask an admin."))
            }
            (None, several) => {
                let list: Vec<String> =
                    several.iter().map(|team| format!("{} ({})", team.name, team.id)).collect();
                Err(Problem::new(
                    ProblemCode::TeamRequired,
                    format!("You belong to several teams; set team to one of: {}.", list.join(", ")),
                )
                .with_errors(vec![crate::FieldError::new("/team", "needed with several teams")]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn team_is_chosen_only_if_it_is_unambiguous() {
        let team = |name: &str| Membership { id: TeamId::new(), name: name.into(), is_active: true };
        let mut caller = Caller {
            requester: Requester::User(UserId::new()),
            identity: "a@b".into(),
            principal: Principal::new("https://idp", "a"),
            email: Some("a@b".into()),
            claims: None,
            display_name: None,
            is_admin: true,
            is_viewer: false,
            can_use_jit: true,
            can_use_registration_token: false,
            teams: vec![team("one")],
        };
        assert_eq!(caller.choose_team(None), Ok(caller.teams[0].id));
        assert_eq!(caller.choose_team(Some(TeamId::new())).unwrap_err().code, ProblemCode::TeamForbidden);
        caller.teams.push(team("two"));
        let problem = caller.choose_team(None).unwrap_err();
        assert_eq!(problem.code, ProblemCode::TeamRequired);
        assert!(problem.detail.contains("one") && problem.detail.contains("two"));
        let (one, two) = (caller.teams[0].id, caller.teams[1].id);
        assert_eq!((caller.named_team("ONE"), caller.named_team(&two.to_string())), (one, two));
        assert_eq!(caller.named_team("three"), TeamId::NIL);
    }
}
