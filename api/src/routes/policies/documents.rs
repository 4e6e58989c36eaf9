//! Documents of an application: checked against the configuration, as the wanted state.

use domain::{ClientEntry, FieldError, PersonEntry, Problem, TeamEntry, TeamsFile};
use operations::{OperationError, Wanted, WantedClient, WantedPerson, WantedTeam};
use store::TeamDraft;

use crate::{
    app::AppState,
    routes::admin::{check_issuer, configured_installation, draft_of_person},
};

/// Returns the wanted state of the documents, or the errors in it that the configuration shows.
pub(super) fn read(app: &AppState, documents: Vec<TeamsFile>) -> Result<Wanted, Vec<FieldError>> {
    let mut wanted = Wanted::default();
    let mut errors = Vec::new();
    for (at, document) in documents.into_iter().enumerate() {
        for (nth, person) in document.people.into_iter().enumerate() {
            let place = format!("/documents/{at}/people/{nth}");
            wanted.people.extend(read_person(app, person, place, &mut errors));
        }
        for (nth, team) in document.teams.into_iter().enumerate() {
            let place = format!("/documents/{at}/teams/{nth}");
            wanted.teams.extend(read_team(app, team, place, &mut errors));
        }
    }
    if errors.is_empty() { Ok(wanted) } else { Err(errors) }
}

/// Adds the errors of a problem, below the place of the value they are about.
fn place_errors(errors: &mut Vec<FieldError>, place: &str, found: Vec<FieldError>) {
    let placed = |error: FieldError| FieldError::new(format!("{place}{}", error.pointer), error.detail);
    errors.extend(found.into_iter().map(placed));
}

fn place_problem(problem: Problem, place: &str) -> Problem {
    let mut errors = Vec::new();
    place_errors(&mut errors, place, problem.errors.clone());
    problem.with_errors(errors)
}

/// Returns an operation's error with its invalid values below `place`.
pub(super) fn below(error: OperationError, place: &str) -> OperationError {
    match error {
        OperationError::Refused(problem) => place_problem(problem, place).into(),
        other @ OperationError::Store(_) => other,
    }
}

fn read_person(
    app: &AppState,
    person: PersonEntry,
    place: String,
    errors: &mut Vec<FieldError>,
) -> Option<WantedPerson> {
    let is_active = person.is_active;
    match draft_of_person(app, person) {
        Ok(draft) => Some(WantedPerson { place, draft, is_active }),
        Err(Problem { errors: found, .. }) => {
            place_errors(errors, &place, found);
            None
        }
    }
}

fn read_team(
    app: &AppState,
    team: TeamEntry,
    place: String,
    errors: &mut Vec<FieldError>,
) -> Option<WantedTeam> {
    let clients = team.clients.iter().cloned().enumerate();
    let clients =
        clients.map(|(nth, client)| read_client(app, client, format!("{place}/clients/{nth}"), errors));
    let clients: Vec<WantedClient> = clients.collect();
    let (is_active, members) = (team.is_active, team.members);
    let team = TeamEntry { clients: Vec::new(), members: Vec::new(), ..team };
    match draft_of_team(app, team, &place) {
        Ok(draft) => Some(WantedTeam { place, draft, is_active, members, clients }),
        Err(Problem { errors: found, .. }) => {
            errors.extend(found);
            None
        }
    }
}

/// Returns the policy of a team in a file. Its values are checked by the operation.
pub(super) fn draft_of_team(app: &AppState, team: TeamEntry, place: &str) -> Result<TeamDraft, Problem> {
    let installation =
        configured_installation(app, &team.installation).map_err(|problem| place_problem(problem, place))?;
    Ok(TeamDraft {
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
        installation,
    })
}

fn read_client(
    app: &AppState,
    client: ClientEntry,
    place: String,
    errors: &mut Vec<FieldError>,
) -> WantedClient {
    let issuer = client.issuer.unwrap_or_else(|| app.default_issuer.clone());
    let mut found = Vec::new();
    check_issuer(app, &mut found, &issuer);
    place_errors(errors, &place, found);
    WantedClient {
        place,
        client_id: client.client_id,
        issuer,
        description: client.description,
        rule: client.rule,
        is_active: client.is_active,
    }
}
