//! Who is asking, and what they may see and do.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::{ClaimRule, ClientId, Job, Principal, Problem, ProblemCode, TeamId, UserId};

/// Who owns a request: a person or a machine client. Never an identity string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Requester {
    /// A person.
    User(UserId),
    /// A machine client.
    Client(ClientId),
}

impl Requester {
    /// The person, if it is one.
    pub const fn user(self) -> Option<UserId> {
        match self {
            Self::User(id) => Some(id),
            Self::Client(_) => None,
        }
    }

    /// The machine client, if it is one.
    pub const fn client(self) -> Option<ClientId> {
        match self {
            Self::Client(id) => Some(id),
            Self::User(_) => None,
        }
    }

    /// From two columns of which exactly one is set.
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

/// A person as stored.
#[expect(clippy::struct_excessive_bools, reason = "four independent permissions, as the API shows them")]
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Our id.
    pub id: UserId,
    /// E-mail, as an admin wrote it or the first token said it.
    pub email: Option<String>,
    /// Token issuer; with `subject` the identity, once bound.
    pub issuer: Option<String>,
    /// Token subject.
    pub subject: Option<String>,
    /// Name to show.
    pub display_name: Option<String>,
    /// May administer.
    pub is_admin: bool,
    /// Sees everything and changes nothing.
    pub is_viewer: bool,
    /// May do anything at all.
    pub is_active: bool,
    /// May have JIT configs.
    pub can_use_jit: bool,
    /// May have registration tokens.
    pub can_use_registration_token: bool,
    /// Added.
    pub created_at: DateTime<Utc>,
    /// Last seen with a valid token, to about five minutes.
    pub last_login_at: Option<DateTime<Utc>>,
}

/// A machine client as stored: tokens that fit it act for one team.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineClient {
    /// Our id.
    pub id: ClientId,
    /// The identity provider's id for it (`azp`, `client_id` or `sub` of its tokens).
    pub client_id: String,
    /// The issuer whose tokens count.
    pub issuer: String,
    /// The team it acts for.
    pub team: TeamId,
    /// What it is.
    pub description: Option<String>,
    /// For tokens without a client id (GitHub Actions, Kubernetes): which tokens are meant.
    pub rule: Option<ClaimRule>,
    /// May do anything at all.
    pub is_active: bool,
    /// Added.
    pub created_at: DateTime<Utc>,
    /// Last seen, to about five minutes.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A team the caller belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The team.
    pub id: TeamId,
    /// Its name.
    pub name: String,
    /// The team may do anything at all.
    pub is_active: bool,
}

/// An authorised caller.
#[expect(clippy::struct_excessive_bools, reason = "independent rights of a person")]
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// Who.
    pub requester: Requester,
    /// The words by which audit rows name them: an e-mail, else `issuer#subject`; a client's id.
    pub identity: String,
    /// The issuer and subject of the token. One machine client may act through many.
    pub principal: Principal,
    /// E-mail of a person, as an admin wrote it or the first token said it.
    pub email: Option<String>,
    /// For audit rows of a machine client: the claims that tell its runs apart.
    pub claims: Option<serde_json::Value>,
    /// Name to show.
    pub display_name: Option<String>,
    /// May administer.
    pub is_admin: bool,
    /// Sees everything, changes nothing, gets no config.
    pub is_viewer: bool,
    /// May have JIT configs.
    pub can_use_jit: bool,
    /// May have registration tokens, where they are handed out at all.
    pub can_use_registration_token: bool,
    /// The teams they belong to, by name.
    pub teams: Vec<Membership>,
}

impl Caller {
    /// Whether the caller may see what belongs to `team` and `owner`.
    pub fn may_see(&self, team: Option<TeamId>, owner: Option<Requester>) -> bool {
        self.sees_everything()
            || owner == Some(self.requester)
            || team.is_some_and(|team| self.is_member(team))
    }

    /// Whether the caller sees what belongs to anybody.
    pub const fn sees_everything(&self) -> bool {
        self.is_admin || self.is_viewer
    }

    /// Whether the caller may change nothing at all. Being an admin outweighs being a viewer.
    pub const fn only_reads(&self) -> bool {
        self.is_viewer && !self.is_admin
    }

    /// Whether the caller asked for the job: the same user, or the same machine client with the same issuer and subject.
    /// A job that an earlier release accepted names no subject; the client as a whole asked for it.
    pub fn asked_for(&self, job: &Job) -> bool {
        let same_subject = |asked: &[u8]| self.principal.fingerprint().as_slice() == asked;
        job.requester == Some(self.requester)
            && (self.requester.user().is_some() || job.asked_by.as_deref().is_none_or(same_subject))
    }

    /// Whether the caller may cancel a job. People: what somebody of the team asked for, as they may remove the runner it
    /// makes. Machine clients: what this very issuer and subject asked for. What the service ordered itself, because a
    /// policy or a rule says so, only admins cancel.
    pub fn may_cancel(&self, job: &Job) -> bool {
        self.is_admin
            || match self.requester {
                Requester::User(_) => job.requester.is_some() && self.may_see(job.team, job.requester),
                Requester::Client(_) => self.asked_for(job),
            }
    }

    /// Whether the caller belongs to `team`.
    pub fn is_member(&self, team: TeamId) -> bool {
        self.teams.iter().any(|membership| membership.id == team)
    }

    /// The team a request is for: the one named, or the only one.
    ///
    /// # Errors
    /// `team_forbidden` when the caller does not belong to it (or to any); `team_required` listing the teams there are.
    pub fn choose_team(&self, named: Option<TeamId>) -> Result<TeamId, Problem> {
        match (named, self.teams.as_slice()) {
            (Some(team), _) if self.is_member(team) => Ok(team),
            (Some(_), _) => Err(Problem::new(ProblemCode::TeamForbidden, "You do not belong to this team.")),
            (None, [only]) => Ok(only.id),
            (None, []) => {
                Err(Problem::new(ProblemCode::TeamForbidden, "You belong to no team yet; ask an admin."))
            }
            (None, several) => {
                let list: Vec<String> =
                    several.iter().map(|team| format!("{} ({})", team.name, team.id)).collect();
                Err(Problem::new(
                    ProblemCode::TeamRequired,
                    format!("You belong to several teams; set team_id to one of: {}.", list.join(", ")),
                )
                .with_errors(vec![crate::FieldError::new("/team_id", "needed with several teams")]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_team_is_chosen_only_where_there_is_no_doubt() {
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
    }
}
