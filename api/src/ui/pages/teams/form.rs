//! The form of a team's policy.

use domain::{Problem, ProblemCode};
use serde::Deserialize;

use crate::{
    routes::admin::teams::{ChangedTeam, NewTeam, TeamView},
    ui::pages::input::{labels, lines, number, optional},
};

/// Values of a team as its form has them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TeamForm {
    pub(super) name: String,
    pub(super) description: String,
    /// Labels, separated by commas.
    pub(super) required_labels: String,
    /// Patterns, one a line: a regular expression may contain commas.
    pub(super) optional_label_patterns: String,
    /// Any text that is not empty means yes.
    pub(super) add_self_hosted: String,
    /// Ids, separated by commas.
    pub(super) allowed_runner_group_ids: String,
    /// Globs, one a line.
    pub(super) allowed_repositories: String,
    /// Globs, one a line.
    pub(super) allowed_workflows: String,
    pub(super) max_runners: String,
    pub(super) weight: String,
    pub(super) drift_response: String,
    pub(super) installation: String,
}

impl TeamForm {
    /// Returns the form of a new team.
    pub(super) fn empty(installation: String) -> Self {
        Self {
            add_self_hosted: "1".to_owned(),
            weight: "1".to_owned(),
            drift_response: "delete".to_owned(),
            installation,
            ..Self::default()
        }
    }

    /// Returns the form of a team.
    pub(super) fn of(team: &TeamView) -> Self {
        let groups: Vec<String> = team.allowed_runner_group_ids.iter().map(i64::to_string).collect();
        Self {
            name: team.name.clone(),
            description: team.description.clone().unwrap_or_default(),
            required_labels: team.required_labels.join(", "),
            optional_label_patterns: team.optional_label_patterns.join("\n"),
            add_self_hosted: if team.add_self_hosted { "1".to_owned() } else { String::new() },
            allowed_runner_group_ids: groups.join(", "),
            allowed_repositories: team.allowed_repositories.join("\n"),
            allowed_workflows: team.allowed_workflows.join("\n"),
            max_runners: team.max_runners.map(|most| most.to_string()).unwrap_or_default(),
            weight: team.weight.to_string(),
            drift_response: team.drift_response.to_string(),
            installation: team.installation.clone(),
        }
    }

    /// Returns the body that a program would send to add the team.
    ///
    /// # Errors
    /// `validation_failed` with every field that cannot be read.
    pub(super) fn read(&self) -> Result<NewTeam, Problem> {
        let mut wrong = Vec::new();
        let team = NewTeam {
            name: self.name.trim().to_owned(),
            description: optional(&self.description),
            required_labels: kept(&mut wrong, labels("/required_labels", &self.required_labels)),
            optional_label_patterns: kept(
                &mut wrong,
                lines("/optional_label_patterns", &self.optional_label_patterns),
            ),
            add_self_hosted: !self.add_self_hosted.is_empty(),
            allowed_runner_group_ids: kept(&mut wrong, self.groups()),
            allowed_repositories: kept(
                &mut wrong,
                lines("/allowed_repositories", &self.allowed_repositories),
            ),
            allowed_workflows: kept(&mut wrong, lines("/allowed_workflows", &self.allowed_workflows)),
            max_runners: kept(&mut wrong, number("/max_runners", &self.max_runners)),
            weight: kept(&mut wrong, self.weight()),
            drift_response: match self.drift_response.parse() {
                Ok(response) => response,
                Err(_) => return Err(Problem::field("/drift_response", "choose one of the list")),
            },
            installation: self.installation.trim().to_owned(),
        };
        if wrong.is_empty() { Ok(team) } else { Err(Problem::invalid(wrong)) }
    }

    fn groups(&self) -> Result<Vec<i64>, Problem> {
        let pointer = "/allowed_runner_group_ids";
        let ids = labels(pointer, &self.allowed_runner_group_ids)?;
        let wrong = |_| Problem::field(pointer, "numbers, separated by commas");
        ids.iter().map(|id| id.parse().map_err(wrong)).collect()
    }

    fn weight(&self) -> Result<f64, Problem> {
        number("/weight", &self.weight)?.ok_or_else(|| Problem::field("/weight", "above 0 and at most 100"))
    }

    /// Returns the changes of a team: only the values that differ.
    ///
    /// # Errors
    /// `validation_failed` with every field that cannot be read.
    pub(super) fn changes(&self, team: &TeamView) -> Result<ChangedTeam, Problem> {
        let NewTeam {
            name,
            description,
            required_labels,
            optional_label_patterns,
            add_self_hosted,
            allowed_runner_group_ids,
            allowed_repositories,
            allowed_workflows,
            max_runners,
            weight,
            drift_response,
            installation,
        } = self.read()?;
        // Groups belong to an installation, so a move names them.
        let moves = installation != team.installation;
        Ok(ChangedTeam {
            name: changed(name, &team.name),
            description: changed(description, &team.description),
            required_labels: changed(required_labels, &team.required_labels),
            optional_label_patterns: changed(optional_label_patterns, &team.optional_label_patterns),
            add_self_hosted: changed(add_self_hosted, &team.add_self_hosted),
            allowed_runner_group_ids: Some(allowed_runner_group_ids)
                .filter(|ids| moves || *ids != team.allowed_runner_group_ids),
            allowed_repositories: changed(allowed_repositories, &team.allowed_repositories),
            allowed_workflows: changed(allowed_workflows, &team.allowed_workflows),
            max_runners: changed(max_runners, &team.max_runners),
            weight: changed(weight, &team.weight),
            drift_response: changed(drift_response, &team.drift_response),
            installation: Some(installation).filter(|_| moves),
            is_active: None,
            deactivation_reason: None,
        })
    }
}

/// Returns a value if it differs from the one before.
fn changed<T: PartialEq>(value: T, before: &T) -> Option<T> {
    (value != *before).then_some(value)
}

/// Returns a value, or its default after keeping its errors.
fn kept<T: Default>(wrong: &mut Vec<domain::FieldError>, read: Result<T, Problem>) -> T {
    match read {
        Ok(value) => value,
        Err(problem) => {
            debug_assert_eq!(problem.code, ProblemCode::ValidationFailed);
            wrong.extend(problem.errors);
            T::default()
        }
    }
}
