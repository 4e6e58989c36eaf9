//! Runner groups, and the initial ones.

use std::collections::BTreeSet;

use crate::config::TwinConfig;

/// A runner group of an organisation or an enterprise.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) id: u64,
    pub(crate) name: String,
    /// `all`, `private` or `selected`.
    pub(crate) visibility: String,
    pub(crate) default: bool,
    /// Whether public repositories may use it.
    pub(crate) public: bool,
    /// Ids of the repositories, or of an enterprise's organisations, that may use it when it is `selected`.
    pub(crate) selected: BTreeSet<u64>,
    /// Whether it is restricted to `workflows`.
    pub(crate) restricted: bool,
    pub(crate) workflows: Vec<String>,
}

impl Group {
    /// Returns a group open to all private repositories.
    pub(crate) fn new(id: u64, name: &str, default: bool) -> Self {
        Self {
            id,
            name: name.to_owned(),
            visibility: "all".into(),
            default,
            public: false,
            selected: BTreeSet::new(),
            restricted: false,
            workflows: Vec::new(),
        }
    }

    /// Returns the initial groups of every organisation and enterprise.
    pub(crate) fn of_config(config: &TwinConfig) -> Vec<Self> {
        let group = |(i, (id, name)): (usize, &(u64, String))| Self::new(*id, name, i == 0);
        config.groups.iter().enumerate().map(group).collect()
    }

    /// Returns whether jobs of a private repository may run on its runners.
    pub(crate) fn serves(&self, repository: u64) -> bool {
        self.visibility != "selected" || self.selected.contains(&repository)
    }
}
