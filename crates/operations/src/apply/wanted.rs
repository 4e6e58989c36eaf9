//! The wanted state of people and teams, with bounds and without contradictions.

use std::collections::HashSet;

use domain::{ClaimRule, FieldError, InstallationId, Problem, ProblemCode};
use store::{TeamDraft, UserDraft};

use crate::validate::{check_text, is_email};

/// Most people in all files.
pub(super) const MAX_PEOPLE: usize = 20_000;
/// Most teams in all files.
pub(super) const MAX_TEAMS: usize = 2_000;
/// Most memberships in all files.
pub(super) const MAX_MEMBERS: usize = 50_000;
/// Most machine clients in all files.
pub(super) const MAX_CLIENTS: usize = 10_000;
/// Most errors in one answer.
const MAX_ERRORS: usize = 100;

/// The wanted state of people and teams. A `place` is the JSON pointer of a value in the request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// People.
    pub people: Vec<WantedPerson>,
    /// Teams.
    pub teams: Vec<WantedTeam>,
}

/// A wanted person.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedPerson {
    /// Place of the person.
    pub place: String,
    /// Values of the person. Issuer and subject are for a new person alone.
    pub draft: UserDraft,
    /// Whether the person is active; `None` leaves it as it is.
    pub is_active: Option<bool>,
}

/// A wanted team.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedTeam {
    /// Place of the team.
    pub place: String,
    /// Values of the team.
    pub draft: TeamDraft,
    /// Whether the team is active; `None` leaves it as it is.
    pub is_active: Option<bool>,
    /// Members, by e-mail.
    pub members: Vec<String>,
    /// Machine clients.
    pub clients: Vec<WantedClient>,
}

/// A wanted machine client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedClient {
    /// Place of the client.
    pub place: String,
    /// Client id at the identity provider, or a name for the rule.
    pub client_id: String,
    /// Issuer of its tokens.
    pub issuer: String,
    /// Description for people.
    pub description: Option<String>,
    /// Claim rule that selects its tokens.
    pub rule: Option<ClaimRule>,
    /// Whether the client is active; `None` leaves it as it is.
    pub is_active: Option<bool>,
}

impl Wanted {
    /// Returns the errors that are independent of the stored state: too many values, and values named twice.
    pub(super) fn check(&self) -> Vec<FieldError> {
        let members = self.teams.iter().map(|team| team.members.len()).sum::<usize>();
        let clients = self.teams.iter().map(|team| team.clients.len()).sum::<usize>();
        let bounds = [
            ("people", self.people.len(), MAX_PEOPLE),
            ("teams", self.teams.len(), MAX_TEAMS),
            ("members", members, MAX_MEMBERS),
            ("machine clients", clients, MAX_CLIENTS),
        ];
        let over = bounds.into_iter().filter(|(_, count, most)| count > most);
        let mut errors: Vec<FieldError> = over
            .map(|(what, _, most)| {
                FieldError::new("/documents", format!("at most {most} {what} in all documents"))
            })
            .collect();
        if errors.is_empty() {
            self.check_repetitions(&mut errors);
        }
        errors
    }

    fn check_repetitions(&self, errors: &mut Vec<FieldError>) {
        let mut emails = HashSet::new();
        for person in &self.people {
            let email = lower(person.draft.email.as_deref().unwrap_or_default());
            if !emails.insert(email) {
                errors.push(twice(&person.place, "email", "person"));
            }
        }
        let (mut names, mut clients) = (HashSet::new(), HashSet::new());
        for team in &self.teams {
            if !names.insert(lower(&team.draft.name)) {
                errors.push(twice(&team.place, "name", "team"));
            }
            let mut members = HashSet::new();
            for (at, email) in team.members.iter().enumerate() {
                let place = format!("{}/members/{at}", team.place);
                if !is_email(email) {
                    errors.push(FieldError::new(place, "not an e-mail address"));
                } else if !members.insert(lower(email)) {
                    errors.push(FieldError::new(place, "this member is named twice"));
                }
            }
            for client in &team.clients {
                if !clients.insert((client.issuer.as_str(), client.client_id.as_str())) {
                    errors.push(twice(&client.place, "client_id", "machine client"));
                }
            }
        }
    }

    /// Returns the e-mail addresses of all people and members, in lower case.
    pub(super) fn emails(&self) -> HashSet<String> {
        let people = self.people.iter().filter_map(|person| person.draft.email.as_deref());
        let members = self.teams.iter().flat_map(|team| &team.members).map(String::as_str);
        people.chain(members).map(lower).collect()
    }

    /// Returns the names of all teams, in lower case.
    pub(super) fn team_names(&self) -> Vec<String> {
        self.teams.iter().map(|team| lower(&team.draft.name)).collect()
    }

    /// Returns the client ids of all machine clients.
    pub(super) fn client_ids(&self) -> Vec<String> {
        self.teams.iter().flat_map(|team| &team.clients).map(|client| client.client_id.clone()).collect()
    }

    /// Returns the installations of all teams.
    pub(super) fn installations(&self) -> Vec<InstallationId> {
        let all: HashSet<&InstallationId> = self.teams.iter().map(|team| &team.draft.installation).collect();
        all.into_iter().cloned().collect()
    }
}

/// Returns a name as the database compares it.
pub(super) fn lower(name: &str) -> String {
    name.to_lowercase()
}

fn twice(place: &str, field: &str, what: &str) -> FieldError {
    FieldError::new(format!("{place}/{field}"), format!("this {what} is in the documents twice"))
}

/// Checks the name of an owner.
pub(super) fn check_owner(errors: &mut Vec<FieldError>, owner: &str) {
    check_text(errors, "/owner", owner, 100);
}

/// Makes the collected errors a problem with the first of them.
///
/// # Errors
/// `validation_failed`, if there are any.
pub(super) fn settle_first(mut errors: Vec<FieldError>) -> Result<(), Problem> {
    let found = errors.len();
    errors.truncate(MAX_ERRORS);
    match found {
        0 => Ok(()),
        _ if found > MAX_ERRORS => {
            let detail = format!("{found} values are not valid; the first {MAX_ERRORS} are listed.");
            Err(Problem::new(ProblemCode::ValidationFailed, detail).with_errors(errors))
        }
        _ => Err(Problem::invalid(errors)),
    }
}
