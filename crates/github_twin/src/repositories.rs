//! Repositories of the organisations: the configured ones, and those in which a job was queued.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;

use crate::{answer::Answer, state::State, views::stable_id};

/// Most repositories that one token may be narrowed to (GitHub's documented maximum).
const MAX_SELECTED: usize = 500;

/// A private repository of an organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    /// Id, derived from the name.
    pub(crate) id: u64,
    /// `owner/name`.
    pub(crate) full_name: String,
}

impl Repository {
    pub(crate) fn new(owner: &str, name: &str) -> Self {
        let full_name = format!("{owner}/{name}");
        Self { id: stable_id(&full_name), full_name }
    }

    fn owner(&self) -> &str {
        self.full_name.split('/').next().unwrap_or("")
    }
}

impl State {
    /// Returns the repository with this name, compared without case.
    pub(crate) fn repository(&self, owner: &str, name: &str) -> Option<&Repository> {
        let full_name = format!("{owner}/{name}");
        self.repositories.values().find(|r| r.full_name.eq_ignore_ascii_case(&full_name))
    }

    /// Returns all repositories of an organisation, by id.
    pub(crate) fn repositories_of(&self, org: &str) -> impl Iterator<Item = &Repository> {
        self.repositories.values().filter(move |r| r.owner().eq_ignore_ascii_case(org))
    }

    /// Adds a repository unless it exists.
    pub(crate) fn add_repository(&mut self, full_name: &str) {
        let Some((owner, name)) = full_name.split_once('/') else { return };
        let new = Repository::new(owner, name);
        self.repositories.entry(new.id).or_insert(new);
    }

    /// Returns the logins of all organisations, with or without an installation.
    pub(crate) fn organizations(&self) -> impl Iterator<Item = &str> {
        let more = self.config.more_installations.iter().map(|(_, org)| org.as_str());
        std::iter::once(self.config.org.as_str()).chain(more)
    }

    /// Returns the login of an organisation in its original case; the argument is compared without case.
    pub(crate) fn organization(&self, login: &str) -> Option<&str> {
        self.organizations().find(|org| org.eq_ignore_ascii_case(login))
    }

    /// Returns the repositories that a token request names in `repositories` and `repository_ids`. `None` means that it
    /// names
    /// none, which selects all.
    pub(crate) fn selected_repositories(
        &self,
        org: &str,
        body: &Value,
    ) -> Result<Option<Arc<BTreeSet<u64>>>, Answer> {
        let list = |name: &str| -> Result<Vec<Value>, Answer> {
            match body.get(name) {
                None | Some(Value::Null) => Ok(Vec::new()),
                Some(Value::Array(list)) => Ok(list.clone()),
                Some(_) => Err(Answer::invalid("Invalid request.", &[&format!("{name} must be an array")])),
            }
        };
        let (names, ids) = (list("repositories")?, list("repository_ids")?);
        if names.len() + ids.len() > MAX_SELECTED {
            return Err(Answer::invalid("Invalid request.", &["at most 500 repositories can be named"]));
        }
        let unknown = || {
            let text = "There is at least one repository that does not exist or is not accessible to the parent installation.";
            Answer::error(422, text)
        };
        let by_name = names.iter().map(|name| self.repository(org, name.as_str()?).map(|r| r.id));
        let by_id =
            ids.iter().map(|id| self.repositories_of(org).map(|r| r.id).find(|r| id.as_u64() == Some(*r)));
        let selected: Option<BTreeSet<u64>> = by_name.chain(by_id).collect();
        let selected = selected.ok_or_else(unknown)?;
        Ok((!selected.is_empty()).then(|| Arc::new(selected)))
    }
}
