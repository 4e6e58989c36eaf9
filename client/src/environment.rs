//! Environment variables that the commands read, once, at start.

use std::{collections::BTreeMap, path::PathBuf};

/// Every variable that is read.
const NAMES: &[&str] = &[
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "HOME",
    "RTS_AUDIENCE",
    "RTS_ID_TOKEN",
    "RTS_NO_INPUT",
    "RTS_PROFILE",
    "RTS_TICKET",
    "RTS_TOKEN",
    "RTS_TOKEN_FILE",
    "RTS_URL",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
];

/// Values of the variables. Some are tokens, so the type cannot be printed.
#[derive(Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Reads the variables of this process. Empty ones count as not set.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads them, once")]
    pub(crate) fn from_process() -> Self {
        let read = |name: &&str| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
            Some(((*name).to_owned(), value))
        };
        Self(NAMES.iter().filter_map(read).collect())
    }

    /// Returns variables with these values.
    #[cfg(test)]
    pub(crate) fn of(values: &[(&str, &str)]) -> Self {
        Self(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the folder of our settings.
    pub(crate) fn config_folder(&self) -> Option<PathBuf> {
        self.folder("XDG_CONFIG_HOME", ".config")
    }

    /// Returns the folder of our tokens and of the keys of interrupted requests.
    pub(crate) fn state_folder(&self) -> Option<PathBuf> {
        self.folder("XDG_STATE_HOME", ".local/state")
    }

    /// The XDG specification: a relative path is ignored.
    fn folder(&self, name: &str, below_home: &str) -> Option<PathBuf> {
        let given = self.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || self.get("HOME").map(|home| PathBuf::from(home).join(below_home));
        given.or_else(home).map(|folder| folder.join("rts"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_follow_xdg() {
        let own = Environment::of(&[("HOME", "/home/ada"), ("XDG_STATE_HOME", "/state")]);
        assert_eq!(own.config_folder(), Some("/home/ada/.config/rts".into()));
        assert_eq!(own.state_folder(), Some("/state/rts".into()));
        assert_eq!(Environment::of(&[("XDG_STATE_HOME", "relative")]).state_folder(), None);
    }
}
