//! Layered sources of settings: TOML file, `.env`, environment.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Map, Value},
};
use serde::de::DeserializeOwned;

use super::{
    ConfigError, Fallback, Section, Setting, docs,
    error::shorten,
    event_sinks::SINKS_KEY,
    files::{self, Named},
    github::INSTALLATIONS_KEY,
    oidc::ISSUERS_KEY,
};

/// Maximum size of the file, in bytes.
const FILE_LIMIT: u64 = 1 << 20;

/// Treatment of unsafe settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Unsafe settings stop the start.
    #[default]
    Production,
    /// `rts dev`: unsafe settings are accepted.
    Development,
}

/// All layers of settings. Tests build one with [`Sources::empty`] and [`Sources::set`]; only [`Sources::from_process`]
/// reads the process's environment.
#[derive(Clone)]
pub struct Sources {
    mode: Mode,
    file: Option<(PathBuf, Dict)>,
    dotenv: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
}

impl Sources {
    /// Returns sources without any settings.
    pub fn empty(mode: Mode) -> Self {
        Self { mode, file: None, dotenv: BTreeMap::new(), env: BTreeMap::new() }
    }

    /// Returns the process's environment, `.env` in the working directory, and the TOML file named by `config` or else
    /// by `RTS_CONFIG`. The process's environment is not changed.
    ///
    /// # Errors
    /// A file cannot be read or holds something that is not a setting.
    pub fn from_process(mode: Mode, config: Option<&Path>) -> Result<Self, ConfigError> {
        let mut sources = Self::empty(mode);
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str() else { continue };
            // These two variables are commonly written in either case.
            let name = if matches!(name, "https_proxy" | "no_proxy") {
                name.to_uppercase()
            } else {
                name.to_owned()
            };
            let Some(setting) = known(&name) else { continue };
            let value = value.into_string().map_err(|_| setting.not_text())?;
            sources = sources.set(&name, value);
        }
        sources = match sources.plain(docs::ENV_FILE.name).map(PathBuf::from) {
            Some(path) if path.exists() => sources.dotenv_file(&path)?,
            Some(path) => return Err(ConfigError::File { path, why: "cannot be read".to_owned() }),
            None => {
                let path = Path::new(".env");
                files::refuse_foreign(path, Named::ByPlace, mode)?;
                sources.dotenv_file(path)?
            }
        };
        let named = || sources.plain(docs::CONFIG.name).map(PathBuf::from);
        match config.map(Path::to_path_buf).or_else(named) {
            Some(path) => sources.file(&path),
            None => Ok(sources),
        }
    }

    /// Sets an environment variable of the topmost layer; a later call overrides it. Unknown names and empty values are
    /// ignored.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        insert_known(&mut self.env, name, value.into());
        self
    }

    /// Adds the lines of a `.env` file; a missing file is ignored.
    ///
    /// # Errors
    /// The file cannot be read or has an invalid line.
    pub fn dotenv_file(mut self, path: &Path) -> Result<Self, ConfigError> {
        let wrong = |why: String| ConfigError::File { path: path.to_path_buf(), why };
        files::refuse_foreign(path, Named::Explicitly, self.mode)?;
        let lines = match dotenvy::from_path_iter(path) {
            Ok(lines) => lines,
            Err(error) if error.not_found() => return Ok(self),
            Err(_) => return Err(wrong("cannot be read".to_owned())),
        };
        let mut last = "the start".to_owned();
        for line in lines {
            // The library's error quotes the line, which may hold a secret.
            let (name, value) = line.map_err(|_| wrong(format!("has a bad line after {last}")))?;
            insert_known(&mut self.dotenv, &name, value);
            last = shorten(&name);
        }
        if self.dotenv.keys().any(|name| known(name).is_some_and(|setting| setting.secret)) {
            files::refuse_readable(path, self.mode)?;
        }
        Ok(self)
    }

    /// Adds the TOML file at `path`, at most 1 MiB.
    ///
    /// # Errors
    /// The file cannot be read, is too large or has invalid content.
    pub fn file(self, path: &Path) -> Result<Self, ConfigError> {
        let wrong = |why: &str| ConfigError::File { path: path.to_path_buf(), why: why.to_owned() };
        let size = std::fs::metadata(path).map_err(|_| wrong("cannot be read"))?.len();
        if size > FILE_LIMIT {
            return Err(wrong("is larger than 1 MiB"));
        }
        files::refuse_foreign(path, Named::Explicitly, self.mode)?;
        let text = std::fs::read_to_string(path).map_err(|_| wrong("cannot be read as text"))?;
        let sources = self.toml(path, &text)?;
        let secret = |key: &String| setting_of_key(key).is_some_and(|setting| setting.secret);
        if sources.file.as_ref().is_some_and(|(_, dict)| dict.keys().any(secret)) {
            files::refuse_readable(path, sources.mode)?;
        }
        Ok(sources)
    }

    /// Adds TOML text; `path` is the name used in messages.
    ///
    /// # Errors
    /// The text is not valid TOML or has a key that is not a setting.
    pub fn toml(mut self, path: &Path, text: &str) -> Result<Self, ConfigError> {
        let wrong = |why: String| ConfigError::File { path: path.to_path_buf(), why };
        let dict = Toml::string(text).data().map_err(|error| {
            // Only the error's first line is used: the others quote the file, which may hold a secret.
            let first = error.kind.to_string();
            wrong(format!("is no TOML: {}", shorten(first.lines().next().unwrap_or_default())))
        })?;
        let dict = dict.into_values().next().unwrap_or_default();
        let tables = [ISSUERS_KEY, INSTALLATIONS_KEY, SINKS_KEY];
        let stranger =
            dict.keys().find(|key| !tables.contains(&key.as_str()) && setting_of_key(key).is_none());
        if let Some(key) = stranger {
            return Err(ConfigError::UnknownKey { key: shorten(key), path: path.to_path_buf() });
        }
        self.file = Some((path.to_path_buf(), dict));
        Ok(self)
    }

    /// Loads one section.
    ///
    /// # Errors
    /// Returns the section's first invalid or missing value.
    pub fn section<T: Section>(&self) -> Result<T, ConfigError> {
        T::load(self)
    }

    /// Returns whether unsafe settings are accepted.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Returns whether any layer has this setting, by its environment name.
    pub fn has(&self, name: &str) -> bool {
        self.plain(name).is_some()
    }

    fn plain(&self, name: &str) -> Option<String> {
        let setting = known(name)?;
        self.given(setting).ok().flatten().map(|given| given.text)
    }

    /// Returns the value of a setting, from the topmost layer that has one or from its default.
    pub(super) fn given(&self, setting: &Setting) -> Result<Option<Given>, ConfigError> {
        let figment = self.figment();
        let (text, place) = match figment.find_value(&setting.key()) {
            Ok(value) => {
                let place = self.place(setting, figment.get_metadata(value.tag()));
                let bad = || ConfigError::Bad {
                    place: place.clone(),
                    expects: setting.expects.to_owned(),
                    given: None,
                };
                (text(&value, setting.list).ok_or_else(bad)?.trim().to_owned(), place)
            }
            Err(_) => (String::new(), String::new()),
        };
        let given = |text: String, place| Given { text, place, setting: *setting };
        match (text.is_empty(), setting.fallback) {
            (false, _) => Ok(Some(given(text, place))),
            (true, Fallback::Value(value)) => Ok(Some(given(value.to_owned(), setting.name.to_owned()))),
            (true, _) => Ok(None),
        }
    }

    /// Returns the layer in which a setting is given.
    pub(super) fn layer(&self, setting: &Setting) -> Option<&'static str> {
        let figment = self.figment();
        let value = figment.find_value(&setting.key()).ok()?;
        let name = &figment.get_metadata(value.tag())?.name;
        [FILE, DOTENV, ENV].into_iter().find(|layer| layer == name)
    }

    /// Returns the tables of the file under one key, in order.
    pub(super) fn tables<T: DeserializeOwned>(&self, key: &str) -> Result<Vec<T>, ConfigError> {
        let Some((path, dict)) = &self.file else { return Ok(Vec::new()) };
        let Some(value) = dict.get(key) else { return Ok(Vec::new()) };
        value.deserialize().map_err(|error| ConfigError::File {
            path: path.clone(),
            why: format!("has a bad {key}: {}", shorten(&error.kind.to_string())),
        })
    }

    fn figment(&self) -> Figment {
        let mut figment = Figment::new();
        if let Some((_, dict)) = &self.file {
            figment = figment.merge(Layer(FILE, dict.clone()));
        }
        figment.merge(Layer(DOTENV, texts(&self.dotenv))).merge(Layer(ENV, texts(&self.env)))
    }

    fn place(&self, setting: &Setting, layer: Option<&Metadata>) -> String {
        match (layer.map(|layer| layer.name.as_ref()), &self.file) {
            (Some(FILE), Some((path, _))) => format!("{} in {}", setting.key(), path.display()),
            (Some(DOTENV), _) => format!("{} in .env", setting.name),
            _ => setting.name.to_owned(),
        }
    }
}

/// A given value or the default, with its location.
pub(super) struct Given {
    pub(super) text: String,
    place: String,
    setting: Setting,
}

impl Given {
    /// Returns a refusal for another reason than the value's form.
    pub(super) fn refuse(&self, expects: &str) -> ConfigError {
        ConfigError::Bad { place: self.place.clone(), expects: expects.to_owned(), given: None }
    }

    /// Returns the refusal of this value.
    pub(super) fn bad(&self) -> ConfigError {
        // A value with an `@` may be a URL with a password, so it is not shown.
        let open = !self.setting.secret && !self.text.contains('@');
        let given = open.then(|| shorten(&self.text));
        ConfigError::Bad { place: self.place.clone(), expects: self.setting.expects.to_owned(), given }
    }
}

impl Setting {
    fn not_text(&self) -> ConfigError {
        ConfigError::Bad { place: self.name.to_owned(), expects: "UTF-8 text".to_owned(), given: None }
    }
}

const FILE: &str = "file";
const DOTENV: &str = ".env";
const ENV: &str = "environment";

struct Layer(&'static str, Dict);

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0)
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.1.clone()))
    }
}

fn texts(layer: &BTreeMap<String, String>) -> Dict {
    layer.iter().map(|(name, text)| (name.to_ascii_lowercase(), Value::from(text.as_str()))).collect()
}

fn insert_known(layer: &mut BTreeMap<String, String>, name: &str, value: String) {
    if known(name).is_some() && !value.trim().is_empty() {
        layer.insert(name.to_owned(), value);
    }
}

fn known(name: &str) -> Option<&'static Setting> {
    docs::all().find(|setting| setting.name == name)
}

fn setting_of_key(key: &str) -> Option<&'static Setting> {
    docs::all().find(|setting| {
        setting.key() == *key && ![docs::CONFIG.name, docs::ENV_FILE.name].contains(&setting.name)
    })
}

/// Returns a value in the notation of the environment, with lists joined by commas. `None` for values that no flat
/// setting can have.
fn text(value: &Value, list: bool) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Bool(_, yes) => Some(yes.to_string()),
        Value::Num(_, num) => num.to_i128().map(|n| n.to_string()),
        Value::Array(_, items) if list => {
            items.iter().map(|item| text(item, false)).collect::<Option<Vec<_>>>().map(|all| all.join(","))
        }
        _ => None,
    }
}
