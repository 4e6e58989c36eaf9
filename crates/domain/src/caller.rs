//! Who is asking, and what they may see and do.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::{ClientId, Job, Problem, ProblemCode, TeamId, UserId};

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

/// Which tokens of an issuer are meant: the subject fits a glob and every named claim has exactly this value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimRule {
    /// Glob over the whole subject, e.g. `repo:octo-org/deploy:*`; case counts.
    pub subject: String,
    /// Exact values of further claims.
    #[serde(default)]
    pub claims: std::collections::BTreeMap<String, serde_json::Value>,
}

impl ClaimRule {
    /// Whether the subject can serve: something other than a lone star, so that no rule means "everyone".
    pub fn check(&self) -> Result<(), &'static str> {
        if self.subject.len() > 255 || self.subject.chars().all(|c| c == '*' || c == '?') {
            Err("a subject glob is at most 255 bytes and more than `*`")
        } else if self.claims.len() > 20
            || self.claims.values().any(|v| v.is_object() || v.is_array() || v.is_null())
        {
            Err("at most 20 claims, each a string, number or boolean")
        } else {
            Ok(())
        }
    }

    fn fits(&self, subject: &str, claims: &serde_json::Map<String, serde_json::Value>) -> bool {
        glob(&self.subject, subject)
            && self.claims.iter().all(|(name, value)| claims.get(name) == Some(value))
    }
}

/// `*` is any run of characters, `?` any one; everything else is itself.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// What a verified token says, as far as it decides who is asking.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenFacts {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `email`, when the issuer did not say that it is unverified.
    pub email: Option<String>,
    /// Whether the token names any e-mail at all: then it is a person's.
    pub personal: bool,
    /// `name` or `preferred_username`.
    pub name: Option<String>,
    /// `client_id`.
    pub client_id: Option<String>,
    /// `azp`.
    pub authorized_party: Option<String>,
    /// All claims.
    pub claims: serde_json::Map<String, serde_json::Value>,
}

impl TokenFacts {
    /// The client ids this token may stand for. `azp` alone names the program a person signed in with, so it counts
    /// only in tokens that name no e-mail; Auth0 writes `<client id>@clients` as subject.
    pub fn client_ids(&self) -> Vec<String> {
        let subject = self.subject.strip_suffix("@clients").unwrap_or(&self.subject);
        let party = self.authorized_party.iter().chain(&self.client_id).filter(|_| !self.personal);
        std::iter::once(subject).chain(party.map(String::as_str)).map(str::to_owned).collect()
    }

    /// The one client of `candidates` this token stands for: by client id, else by rule.
    /// Several that fit make it nobody's, since any choice could be the wrong team.
    pub fn choose<'c>(&self, candidates: &'c [MachineClient]) -> Option<&'c MachineClient> {
        let ids = self.client_ids();
        let by_id: Vec<_> = candidates
            .iter()
            .filter(|client| client.rule.is_none() && ids.contains(&client.client_id))
            .collect();
        let by_rule = || {
            candidates
                .iter()
                .filter(|client| {
                    client.rule.as_ref().is_some_and(|rule| rule.fits(&self.subject, &self.claims))
                })
                .collect::<Vec<_>>()
        };
        let fitting = if by_id.is_empty() { by_rule() } else { by_id };
        match fitting.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }
}

/// A team the caller belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The team.
    pub id: TeamId,
    /// Its name.
    pub name: String,
}

/// An authorised caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// Who.
    pub requester: Requester,
    /// The words by which audit rows name them: an e-mail, else `issuer#subject`; a client's id.
    pub identity: String,
    /// Name to show.
    pub display_name: Option<String>,
    /// May administer.
    pub is_admin: bool,
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
        self.is_admin || owner == Some(self.requester) || team.is_some_and(|team| self.is_member(team))
    }

    /// Whether the caller may withdraw a job: what somebody of the team asked for, as they may remove the runner it makes.
    /// What the service ordered itself, because a policy or a rule says so, only admins withdraw.
    pub fn may_cancel(&self, job: &Job) -> bool {
        self.is_admin || (job.requester.is_some() && self.may_see(job.team, job.requester))
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

    fn facts(subject: &str) -> TokenFacts {
        TokenFacts {
            issuer: "https://idp".into(),
            subject: subject.into(),
            email: None,
            personal: false,
            name: None,
            client_id: None,
            authorized_party: None,
            claims: serde_json::Map::new(),
        }
    }

    fn client(id: &str, rule: Option<&str>) -> MachineClient {
        MachineClient {
            id: ClientId::new(),
            client_id: id.into(),
            issuer: "https://idp".into(),
            team: TeamId::new(),
            description: None,
            rule: rule
                .map(|glob| ClaimRule { subject: glob.into(), claims: std::collections::BTreeMap::new() }),
            is_active: true,
            created_at: DateTime::UNIX_EPOCH,
            last_used_at: None,
        }
    }

    #[test]
    fn auth0_and_keycloak_tokens_name_their_client() {
        let clients = [client("ci", None)];
        assert!(facts("ci@clients").choose(&clients).is_some());
        let keycloak = TokenFacts { authorized_party: Some("ci".into()), ..facts("3f2a") };
        assert!(keycloak.choose(&clients).is_some());
        let person = TokenFacts { personal: true, ..keycloak };
        assert!(
            person.choose(&clients).is_none(),
            "a person who signed in through the client is not the client"
        );
    }

    #[test]
    fn a_rule_speaks_for_tokens_without_a_client_id() {
        let clients =
            [client("deploy", Some("repo:octo-org/deploy:*")), client("other", Some("repo:octo-org/x:*"))];
        let chosen =
            facts("repo:octo-org/deploy:ref:refs/heads/main").choose(&clients).map(|c| c.client_id.as_str());
        assert_eq!(chosen, Some("deploy"));
        assert!(facts("repo:octo-org/deployer:ref").choose(&clients).is_none());
    }

    #[test]
    fn two_rules_that_fit_make_it_nobodys() {
        let clients = [client("a", Some("repo:o/*")), client("b", Some("repo:*"))];
        assert!(facts("repo:o/x").choose(&clients).is_none());
    }

    #[test]
    fn globs_cover_the_whole_text() {
        for (pattern, text, fits) in [
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("?", "", false),
            ("**a", "za", true),
            ("a*b*c", "axxbyyc", true),
            ("a.c", "abc", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_team_is_chosen_only_where_there_is_no_doubt() {
        let team = |name: &str| Membership { id: TeamId::new(), name: name.into() };
        let mut caller = Caller {
            requester: Requester::User(UserId::new()),
            identity: "a@b".into(),
            display_name: None,
            is_admin: true,
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
