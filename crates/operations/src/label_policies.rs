//! Label policies of single users, as the predecessor had them, made into teams of one member.

use domain::{InstallationId, Problem, TeamId, User, is_system_label};
use store::{TeamDraft, Tx};

use crate::{
    Administrator, OperationError, Operations, Result, members::record_member, teams::record_team,
    validate::truncated,
};

/// Longest name of a team, in characters.
const MAX_TEAM_NAME: usize = 50;

/// Label policy of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserLabelPolicy {
    /// E-mail address or `issuer#subject` of the user.
    pub identity: String,
    /// Labels that the user may request.
    pub allowed_labels: Vec<String>,
    /// Regular expressions of further labels.
    pub label_patterns: Vec<String>,
    /// Most runners at a time; `None` means no limit.
    pub max_runners: Option<i32>,
    /// Whether an admin had to approve each request.
    pub needs_approval: bool,
    /// Description for people.
    pub description: Option<String>,
}

/// Result of making a team of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdoptedPolicy {
    /// The team with this name was made, or would be made.
    Team(String),
    /// Nothing was made, for this reason.
    Skipped(String),
}

/// Whether the teams are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// Each team is kept.
    Keep,
    /// Each team is made and rolled back.
    DryRun,
}

impl Operations<'_> {
    /// Makes a team with the policy's labels and limit, whose only member is the user. A user who belongs to a team
    /// already is skipped, so the operation may be repeated.
    ///
    /// # Errors
    /// Database errors; a policy that cannot be adopted is skipped with the reason.
    pub async fn adopt_label_policy(
        &self,
        admin: &Administrator,
        policy: &UserLabelPolicy,
        installation: &InstallationId,
        adoption: Adoption,
    ) -> Result<AdoptedPolicy> {
        let mut tx = self.store.begin().await?;
        match adopt(&mut tx, admin, policy, installation).await {
            Ok(name) => {
                if adoption == Adoption::Keep {
                    tx.commit().await?;
                }
                Ok(AdoptedPolicy::Team(name))
            }
            Err(OperationError::Refused(problem)) => Ok(AdoptedPolicy::Skipped(reason(&problem))),
            Err(error) => Err(error),
        }
    }
}

async fn adopt(
    tx: &mut Tx,
    admin: &Administrator,
    policy: &UserLabelPolicy,
    installation: &InstallationId,
) -> Result<String> {
    if policy.needs_approval {
        let detail =
            "requests of this user needed an approval, which teams do not have; add the team by hand";
        return Err(Problem::field("/require_approval", detail).into());
    }
    let user = find_user(tx, &policy.identity).await?;
    let teams = tx.teams().names_of(user.id).await?;
    if !teams.is_empty() {
        let detail = format!("the user acts for a team already: {}", teams.join(", "));
        return Err(Problem::field("/user_identity", detail).into());
    }
    let draft = team_of(policy, installation);
    let name = draft.name.clone();
    let team: TeamId = record_team(tx, admin, &draft).await?;
    record_member(tx, admin, team, &user).await?;
    Ok(name)
}

async fn find_user(tx: &mut Tx, identity: &str) -> Result<User> {
    let named = tx.requesters().named(identity).await?;
    let unknown = || Problem::field("/user_identity", "no user with this identity; add the user first");
    let id = named.only_user().ok_or_else(unknown)?;
    Ok(tx.users().get(id).await?.ok_or_else(unknown)?)
}

/// Returns the team that allows what the policy allowed. GitHub's own labels need no permission.
fn team_of(policy: &UserLabelPolicy, installation: &InstallationId) -> TeamDraft {
    let exact = policy.allowed_labels.iter().filter(|label| !is_system_label(label));
    let exact = exact.map(|label| if label == "*" { label.clone() } else { format!("glob:{label}") });
    let about = format!("Label policy of {}", policy.identity);
    let about = policy.description.as_ref().map_or(about.clone(), |text| format!("{about}: {text}"));
    TeamDraft {
        description: Some(truncated(about.trim(), 1000)),
        optional_label_patterns: exact.chain(policy.label_patterns.iter().cloned()).collect(),
        max_runners: policy.max_runners,
        installation: installation.clone(),
        ..TeamDraft::new(team_name(&policy.identity))
    }
}

/// Returns a team name made of an identity: `user-`, and its letters and digits.
fn team_name(identity: &str) -> String {
    let mut name = "user".to_owned();
    for part in identity.to_ascii_lowercase().split(|c: char| !c.is_ascii_alphanumeric()) {
        if !part.is_empty() {
            name.push('-');
            name.push_str(part);
        }
    }
    truncated(&name, MAX_TEAM_NAME).trim_end_matches('-').to_owned()
}

/// Returns why a row of the predecessor is not adopted.
pub(crate) fn reason(problem: &Problem) -> String {
    let errors: Vec<String> =
        problem.errors.iter().map(|error| format!("{}: {}", error.pointer, error.detail)).collect();
    if errors.is_empty() { problem.detail.clone() } else { errors.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn team_is_named_after_its_user() {
        assert_eq!(team_name("Ada.Lovelace@example.com"), "user-ada-lovelace-example-com");
        assert_eq!(team_name("auth0|12"), "user-auth0-12");
        assert_eq!(team_name(&"x".repeat(99)).len(), MAX_TEAM_NAME);
    }

    #[test]
    fn team_allows_what_the_policy_allowed() {
        let policy = UserLabelPolicy {
            identity: "ada@example.com".to_owned(),
            allowed_labels: vec!["linux".to_owned(), "gpu".to_owned()],
            label_patterns: vec!["team-a-.*".to_owned()],
            max_runners: Some(3),
            ..UserLabelPolicy::default()
        };
        let team = team_of(&policy, &InstallationId::default());
        assert_eq!(team.optional_label_patterns, ["glob:gpu", "team-a-.*"]);
        assert_eq!((team.max_runners, team.required_labels), (Some(3), Vec::new()));
    }
}
