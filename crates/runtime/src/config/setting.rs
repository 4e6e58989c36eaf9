//! What a setting is, and what a section promises.

use super::{ConfigError, Sources};

/// What holds when a setting is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This value, in the same notation.
    Value(&'static str),
    /// Nothing; the setting is optional.
    Unset,
    /// The section does not load.
    Required,
}

/// One setting: its name and all an operator needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable; in the file the same in lower case.
    pub name: &'static str,
    /// What a value should be; follows "should be".
    pub expects: &'static str,
    /// What holds without it.
    pub fallback: Fallback,
    /// What it is for.
    pub meaning: &'static str,
    /// Whether messages may show its value.
    pub secret: bool,
    /// Whether it takes several values: comma-separated, or an array in the file.
    pub list: bool,
}

impl Setting {
    /// An optional, single, open setting.
    pub(super) const fn new(name: &'static str, expects: &'static str, meaning: &'static str) -> Self {
        Self { name, expects, fallback: Fallback::Unset, meaning, secret: false, list: false }
    }

    pub(super) const fn or(mut self, value: &'static str) -> Self {
        self.fallback = Fallback::Value(value);
        self
    }

    pub(super) const fn required(mut self) -> Self {
        self.fallback = Fallback::Required;
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    pub(super) const fn list(mut self) -> Self {
        self.list = true;
        self
    }

    /// The key in the TOML file.
    pub fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    pub(super) fn missing(&self) -> ConfigError {
        ConfigError::Missing { name: self.name, expects: self.expects.to_owned() }
    }
}

/// A part of the configuration that loads, defaults, documents and validates itself.
pub trait Section: Sized {
    /// The heading it has in the documentation.
    const TITLE: &'static str;
    /// Its settings, in the order they are documented.
    const SETTINGS: &'static [Setting];
    /// Reads and validates its settings.
    fn load(sources: &Sources) -> Result<Self, ConfigError>;
}
