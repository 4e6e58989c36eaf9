//! Types of settings and their sections.

use super::{ConfigError, Sources};

/// Fallback of a setting that is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This value, in the same notation.
    Value(&'static str),
    /// No value; the setting is optional.
    Unset,
    /// None; the section does not load without a value.
    Required,
}

/// One setting: its name and its documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Name of the environment variable; in lower case the key in the file.
    pub name: &'static str,
    /// Description of valid values; follows "should be".
    pub expects: &'static str,
    /// Fallback if it is not given.
    pub fallback: Fallback,
    /// Purpose of the setting.
    pub meaning: &'static str,
    /// Whether messages must not show its value.
    pub secret: bool,
    /// Whether it takes several values: comma-separated, or an array in the file.
    pub list: bool,
}

impl Setting {
    /// Returns an optional setting with one value that is not secret.
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

    /// Returns the key in the TOML file.
    pub fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    pub(super) fn missing(&self) -> ConfigError {
        ConfigError::Missing { name: self.name, expects: self.expects.to_owned() }
    }
}

/// A part of the configuration that loads, documents and validates itself.
pub trait Section: Sized {
    /// Heading in the documentation.
    const TITLE: &'static str;
    /// Settings, in the order of the documentation.
    const SETTINGS: &'static [Setting];
    /// Reads and validates its settings.
    ///
    /// # Errors
    /// Returns the first invalid or missing value.
    fn load(sources: &Sources) -> Result<Self, ConfigError>;
}
