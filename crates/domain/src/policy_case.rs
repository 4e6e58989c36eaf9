//! Test cases of policies, decided by the rules of requests without a server.

use chrono::DateTime;

use crate::{
    Caller, CaseEntry, Check, ClientEntry, ClientId, FieldError, InstallationId, JobKind, LabelPattern,
    MachineClient, Membership, PersonEntry, Principal, Problem, ProvisionRequest, RequestedName, Role, Team,
    TeamEntry, TeamId, TeamsFile, User, UserId, first_refusal, is_system_label, normalize_label,
};

/// Runner group of requests that name none. The real one is a setting of the installation.
const DEFAULT_GROUP: i64 = 1;

/// Decision about one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseOutcome {
    /// Whether the decision is the expected one.
    pub passed: bool,
    /// The refusal; `None` if the request is allowed.
    pub refusal: Option<Problem>,
    /// The checks, in the order in which they refuse.
    pub checks: Vec<Check>,
}

impl TeamsFile {
    /// Returns the invalid patterns, each at its JSON pointer.
    pub fn check_patterns(&self) -> Vec<FieldError> {
        let teams = self.teams.iter().enumerate();
        let patterns = teams.flat_map(|(team, entry)| {
            entry.optional_label_patterns.iter().enumerate().map(move |(at, text)| (team, at, text))
        });
        let invalid = patterns.filter_map(|(team, at, text)| {
            let fault = LabelPattern::parse(text).err()?;
            Some(FieldError::new(format!("/teams/{team}/optional_label_patterns/{at}"), fault))
        });
        invalid.collect()
    }

    /// Decides a case with the people and teams of this file.
    ///
    /// # Errors
    /// The value of the case that is not valid, by its JSON pointer in the case.
    pub fn decide(&self, case: &CaseEntry) -> Result<CaseOutcome, FieldError> {
        let entry = self.teams.iter().find(|team| team.name.eq_ignore_ascii_case(&case.team));
        let entry = entry.ok_or_else(|| FieldError::new("/team", "no team with this name in the files"))?;
        let request = request(case)?;
        let expected = &case.expect;
        let code = crate::ProblemCode::ALL.iter().any(|code| code.as_str() == expected);
        if !code && !["allow", "refuse"].contains(&expected.as_str()) {
            let detail = "`allow`, `refuse` or a problem code such as `label_policy_violation`";
            return Err(FieldError::new("/expect", detail));
        }
        let team = self.team(entry)?;
        let mut checks = match &case.who {
            Some(who) => self.check_caller(who, entry, &team)?,
            None => Vec::new(),
        };
        checks.extend(team.check(&request, Ok(DEFAULT_GROUP)).checks);
        checks.push(team.check_quota(case.in_use.into()));
        let refusal = first_refusal(&checks);
        let passed = match (&refusal, expected.as_str()) {
            (None, expected) => expected == "allow",
            (Some(_), "refuse") => true,
            (Some(problem), expected) => problem.code.as_str() == expected,
        };
        Ok(CaseOutcome { passed, refusal, checks })
    }

    /// Returns the team as it would be stored, beside the other teams of its installation.
    fn team(&self, entry: &TeamEntry) -> Result<Team, FieldError> {
        let beside =
            |other: &&TeamEntry| other.name != entry.name && other.installation == entry.installation;
        let others = self.teams.iter().filter(beside).flat_map(|other| &other.required_labels);
        let installation: InstallationId = entry
            .installation
            .parse()
            .map_err(|_| FieldError::new("/team", "its installation is not valid"))?;
        Ok(Team {
            id: TeamId::new(),
            name: entry.name.clone(),
            description: None,
            required_labels: entry.required_labels.clone(),
            optional_label_patterns: entry.optional_label_patterns.clone(),
            add_self_hosted: entry.add_self_hosted,
            required_by_others: others.filter(|label| !is_system_label(label)).cloned().collect(),
            allowed_runner_group_ids: entry.allowed_runner_group_ids.clone(),
            allowed_repositories: entry.allowed_repositories.clone(),
            allowed_workflows: entry.allowed_workflows.clone(),
            max_runners: entry.max_runners,
            weight: entry.weight,
            drift_response: entry.drift_response,
            installation,
            is_active: entry.is_active.unwrap_or(true),
            deactivation_reason: None,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
            member_count: 0,
            active_runner_count: 0,
        })
    }

    fn check_caller(&self, who: &str, entry: &TeamEntry, team: &Team) -> Result<Vec<Check>, FieldError> {
        let own = Membership { id: team.id, name: team.name.clone(), is_active: team.is_active };
        let same = |email: &str| email.to_lowercase() == who.to_lowercase();
        let person = self.people.iter().find(|person| same(&person.email));
        let is_member = entry.members.iter().any(|member| same(member));
        let (caller, is_active) = if let Some(person) = person {
            let teams = is_member.then_some(own).into_iter().collect();
            (caller_of_person(person, teams), person.is_active.unwrap_or(true))
        } else if let Some(client) = entry.clients.iter().find(|client| client.client_id == who) {
            (caller_of_client(client, own), client.is_active.unwrap_or(true))
        } else {
            let detail = "neither a person nor a machine client of the team in the files";
            return Err(FieldError::new("/who", detail));
        };
        let mut checks = caller.check_standing((!is_active).then(Problem::requester_inactive));
        checks.extend(caller.check_request(JobKind::Provision, false, Some(team.id)).checks);
        Ok(checks)
    }
}

fn request(case: &CaseEntry) -> Result<ProvisionRequest, FieldError> {
    let labels = case.labels.iter().enumerate().map(|(at, label)| {
        normalize_label(label).map_err(|fault| FieldError::new(format!("/labels/{at}"), fault))
    });
    Ok(ProvisionRequest {
        name: RequestedName::Prefix("case".to_owned()),
        labels: labels.collect::<Result<_, _>>()?,
        runner_group_id: case.runner_group_id,
        work_folder: "_work".to_owned(),
        runner_version: None,
    })
}

fn caller_of_person(person: &PersonEntry, teams: Vec<Membership>) -> Caller {
    let user = User {
        id: UserId::new(),
        email: Some(person.email.clone()),
        issuer: None,
        subject: None,
        display_name: None,
        is_admin: person.role == Role::Admin,
        is_viewer: person.role == Role::Viewer,
        is_active: true,
        can_use_jit: person.can_use_jit,
        can_use_registration_token: person.can_use_registration_token,
        created_at: DateTime::UNIX_EPOCH,
        last_login_at: None,
    };
    Caller::of_user(user, Principal::new("", ""), teams)
}

fn caller_of_client(client: &ClientEntry, team: Membership) -> Caller {
    let stored = MachineClient {
        id: ClientId::new(),
        client_id: client.client_id.clone(),
        issuer: String::new(),
        team: team.id,
        description: None,
        rule: None,
        is_active: true,
        created_at: DateTime::UNIX_EPOCH,
        last_used_at: None,
        created_by: None,
    };
    Caller::of_client(&stored, Principal::new("", ""), team)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> TeamsFile {
        let text = r#"{
            "people": [{ "email": "ada@example.com" }, { "email": "eve@example.com" },
                { "email": "vera@example.com", "role": "viewer" }],
            "teams": [
                { "name": "web", "required_labels": ["web"], "optional_label_patterns": ["glob:gpu-*", "games"],
                  "max_runners": 2, "members": ["Ada@example.com", "vera@example.com"],
                  "clients": [{ "client_id": "web-ci" }] },
                { "name": "games", "required_labels": ["games"] }
            ]
        }"#;
        serde_json::from_str(text).unwrap()
    }

    fn decide(case: &str) -> Result<CaseOutcome, FieldError> {
        file().decide(&serde_json::from_str(case).unwrap())
    }

    #[test]
    fn case_passes_when_the_decision_is_the_expected_one() {
        for case in [
            r#"{"team":"web","labels":["gpu-1"],"expect":"allow"}"#,
            r#"{"team":"web","who":"ada@example.com","labels":["gpu-1"],"expect":"allow"}"#,
            r#"{"team":"web","who":"web-ci","expect":"allow"}"#,
            r#"{"team":"web","labels":["cpu"],"expect":"refuse"}"#,
            r#"{"team":"web","labels":["cpu"],"expect":"label_policy_violation"}"#,
            r#"{"team":"web","labels":["games"],"expect":"label_policy_violation"}"#,
            r#"{"team":"web","in_use":2,"expect":"quota_exceeded"}"#,
            r#"{"team":"web","runner_group_id":2,"expect":"runner_group_not_allowed"}"#,
            r#"{"team":"web","who":"eve@example.com","expect":"team_forbidden"}"#,
            r#"{"team":"web","who":"vera@example.com","expect":"read_only"}"#,
        ] {
            let outcome = decide(case).unwrap();
            assert!(outcome.passed, "{case} {:?}", outcome.refusal);
        }
        let outcome = decide(r#"{"team":"web","labels":["cpu"],"expect":"allow"}"#).unwrap();
        assert!(!outcome.passed);
        let outcome = decide(r#"{"team":"web","labels":["gpu-1"],"expect":"refuse"}"#).unwrap();
        assert!(!outcome.passed && outcome.checks.iter().all(Check::passed));
    }

    #[test]
    fn invalid_case_is_named_with_its_place() {
        for (case, pointer) in [
            (r#"{"team":"none","expect":"allow"}"#, "/team"),
            (r#"{"team":"web","who":"ghost","expect":"allow"}"#, "/who"),
            (r#"{"team":"web","expect":"maybe"}"#, "/expect"),
            (r#"{"team":"web","labels":["a b"],"expect":"allow"}"#, "/labels/0"),
        ] {
            assert_eq!(decide(case).unwrap_err().pointer, pointer);
        }
        let mut file = file();
        file.teams[0].optional_label_patterns.push("a(".into());
        assert_eq!(file.check_patterns()[0].pointer, "/teams/0/optional_label_patterns/2");
    }
}
