//! Export of people and teams as a file that can be applied.

use std::collections::HashMap;

use domain::{
    ClientEntry, MachineClient, PersonEntry, Problem, ProblemCode, Team, TeamEntry, TeamId, TeamsFile, User,
    UserId,
};
use store::{Lists, StoreError};

use super::wanted::{MAX_CLIENTS, MAX_MEMBERS, MAX_PEOPLE, MAX_TEAMS};
use crate::Result;

/// A file with everything that can be applied, and remarks about what cannot.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// The file.
    pub file: TeamsFile,
    /// Remarks.
    pub remarks: Vec<String>,
}

/// Everything that a file can describe.
#[derive(Debug)]
pub struct ExportRows {
    people: Vec<User>,
    teams: Vec<Team>,
    clients: Vec<MachineClient>,
    members: Vec<(TeamId, UserId)>,
}

impl ExportRows {
    /// Reads everything that a file can describe.
    ///
    /// # Errors
    /// Database errors.
    pub async fn read(lists: &mut Lists) -> Result<Self, StoreError> {
        let one_more = |most: usize| i64::try_from(most + 1).unwrap_or(i64::MAX);
        let mut batches = lists.batches();
        let people = batches.every_person(one_more(MAX_PEOPLE)).await?;
        let teams = batches.every_team(one_more(MAX_TEAMS)).await?;
        let clients = batches.every_client(one_more(MAX_CLIENTS)).await?;
        let members = batches.every_member(one_more(MAX_MEMBERS)).await?;
        let members = members.into_iter().map(|member| (member.team, member.user)).collect();
        Ok(Self { people, teams, clients, members })
    }

    /// Checks that one application takes all rows.
    ///
    /// # Errors
    /// `payload_too_large` if there are more.
    pub fn check_size(&self) -> std::result::Result<(), Problem> {
        let full = self.people.len() > MAX_PEOPLE
            || self.teams.len() > MAX_TEAMS
            || self.clients.len() > MAX_CLIENTS
            || self.members.len() > MAX_MEMBERS;
        let detail = "There is more than one application of files takes; use the lists of the API.";
        if full { Err(Problem::new(ProblemCode::PayloadTooLarge, detail)) } else { Ok(()) }
    }

    /// Returns the rows as a file.
    pub fn into_file(self) -> Export {
        let mut members: HashMap<TeamId, Vec<String>> = HashMap::new();
        let emails: HashMap<UserId, &str> =
            self.people.iter().filter_map(|person| Some((person.id, person.email.as_deref()?))).collect();
        for (team, user) in &self.members {
            if let Some(email) = emails.get(user) {
                members.entry(*team).or_default().push((*email).to_owned());
            }
        }
        let mut clients: HashMap<TeamId, Vec<ClientEntry>> = HashMap::new();
        for client in self.clients {
            clients.entry(client.team).or_default().push(client_entry(client));
        }
        let unnamed = self.people.len() - emails.len();
        let remarks = (unnamed > 0).then(|| {
            format!(
                "{unnamed} people have no e-mail address; a file cannot describe them or their memberships."
            )
        });
        let teams = self.teams.into_iter().map(|team| {
            let (members, clients) = (members.remove(&team.id), clients.remove(&team.id));
            team_entry(team, members.unwrap_or_default(), clients.unwrap_or_default())
        });
        let file = TeamsFile {
            teams: teams.collect(),
            people: self.people.into_iter().filter_map(person_entry).collect(),
            tests: Vec::new(),
        };
        Export { file, remarks: remarks.into_iter().collect() }
    }
}

/// Returns `false` for a deactivated row, and nothing for an active one.
fn activity(is_active: bool) -> Option<bool> {
    (!is_active).then_some(false)
}

fn person_entry(user: User) -> Option<PersonEntry> {
    Some(PersonEntry {
        role: user.role(),
        email: user.email?,
        issuer: user.issuer,
        oidc_sub: user.subject,
        display_name: user.display_name,
        can_use_jit: user.can_use_jit,
        can_use_registration_token: user.can_use_registration_token,
        is_active: activity(user.is_active),
    })
}

fn team_entry(team: Team, members: Vec<String>, clients: Vec<ClientEntry>) -> TeamEntry {
    TeamEntry {
        name: team.name,
        description: team.description,
        required_labels: team.required_labels,
        optional_label_patterns: team.optional_label_patterns,
        add_self_hosted: team.add_self_hosted,
        allowed_runner_group_ids: team.allowed_runner_group_ids,
        allowed_repositories: team.allowed_repositories,
        allowed_workflows: team.allowed_workflows,
        max_runners: team.max_runners,
        weight: team.weight,
        drift_response: team.drift_response,
        installation: team.installation.to_string(),
        is_active: activity(team.is_active),
        members,
        clients,
    }
}

fn client_entry(client: MachineClient) -> ClientEntry {
    ClientEntry {
        client_id: client.client_id,
        issuer: Some(client.issuer),
        description: client.description,
        rule: client.rule,
        is_active: activity(client.is_active),
    }
}
