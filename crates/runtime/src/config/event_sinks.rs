//! Sinks of events: the receivers that get audit rows and security events by signed webhook. Loaded by the scheduler.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use domain::{EventFilter, EventGlob, Severity, WebhookKey};
use serde::Deserialize;
use url::Url;

use super::{
    ConfigError, Mode, Section, Setting, Sources,
    github::secret_file,
    parse::{safe_url, short_text},
};

/// Key of the file's array of tables with further sinks.
pub(super) const SINKS_KEY: &str = "event_sinks";

/// Name of the sink of the flat settings.
const DEFAULT_NAME: &str = "default";
const MAX_SINKS: usize = 8;
const MAX_TYPES: usize = 20;
const MAX_KEYS: usize = 3;
/// Most bytes of a file with a key.
const MAX_KEY_FILE: u64 = 4096;

const URL: Setting = Setting::new(
    "EVENT_SINK_URL",
    "an https URL (http only on loopback)",
    "The receiver of events, the sink `default`. More sinks go into the file as `[[event_sinks]]` tables with `name`, \
     `url`, `secret_paths`, `types` and `min_severity`; 8 in all. Redirects are not followed.",
)
.secret();
const KEYS: Setting = Setting::new(
    "EVENT_SINK_SECRET_PATHS",
    "1 to 3 paths of files that others cannot read (mode 0600 or 0640), each with `whsec_` and the base64 of 24 to 64 bytes",
    "The keys that sign the events for `EVENT_SINK_URL`; each gives one signature, so that the receiver may change its key. \
     They are read again for every delivery.",
)
.list();
const TYPES: Setting = Setting::new(
    "EVENT_SINK_TYPES",
    "up to 20 globs such as `rts.security.*` or `rts.audit.team.*`",
    "The types of events that `EVENT_SINK_URL` gets.",
)
.or("rts.security.*")
.list();
const SEVERITY: Setting = Setting::new(
    "EVENT_SINK_MIN_SEVERITY",
    "low, medium, high or critical",
    "The least severity of the security events that `EVENT_SINK_URL` gets.",
)
.or("low");
const SOURCE: Setting = Setting::new(
    "EVENT_SOURCE",
    "a URI reference of 1 to 200 characters",
    "The `source` of all events, by which a receiver tells several deployments apart.",
)
.or("/rts");

/// All sinks.
#[derive(Clone, Debug)]
pub struct EventSinksConfig {
    /// Up to 8 sinks with unique names; none if events are not sent.
    pub sinks: Vec<EventSinkConfig>,
    /// Attribute `source` of every event.
    pub source: String,
}

/// One sink. When the section was loaded, its key files could be read. `Debug` omits the URL, which may hold a token.
#[derive(Clone)]
pub struct EventSinkConfig {
    /// Name in rows, metrics and logs; 1 to 40 characters.
    pub name: String,
    /// URL of the receiver: https, or http on loopback.
    pub url: Url,
    /// Which events it gets.
    pub filter: EventFilter,
    key_paths: Vec<PathBuf>,
    mode: Mode,
}

impl std::fmt::Debug for EventSinkConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventSinkConfig")
            .field("name", &self.name)
            .field("filter", &self.filter)
            .field("key_paths", &self.key_paths)
            .finish_non_exhaustive()
    }
}

impl EventSinkConfig {
    /// Reads the keys from their files.
    ///
    /// # Errors
    /// Returns the path of the first file that others can read or that holds no key.
    pub fn keys(&self) -> Result<Vec<WebhookKey>, PathBuf> {
        self.key_paths.iter().map(|path| read_key(path, self.mode).ok_or_else(|| path.clone())).collect()
    }
}

impl Section for EventSinksConfig {
    const TITLE: &'static str = "Events";
    const SETTINGS: &'static [Setting] = &[URL, KEYS, TYPES, SEVERITY, SOURCE];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut sinks: Vec<EventSinkConfig> = flat(sources)?.into_iter().collect();
        for (index, entry) in sources.tables::<SinkEntry>(SINKS_KEY)?.into_iter().enumerate() {
            sinks.push(entry.sink(index, sources.mode())?);
        }
        let names: BTreeSet<&str> = sinks.iter().map(|sink| sink.name.as_str()).collect();
        if names.len() != sinks.len() || sinks.len() > MAX_SINKS {
            let expects = format!("with `default` at most {MAX_SINKS} sinks, each name once");
            return Err(refused(SINKS_KEY.to_owned(), &expects));
        }
        let source = sources.value(&SOURCE, source)?;
        Ok(Self { sinks, source })
    }
}

/// Returns the sink of the flat settings, if they name one.
fn flat(sources: &Sources) -> Result<Option<EventSinkConfig>, ConfigError> {
    let Some(url) = sources.optional(&URL, safe_url)? else { return Ok(None) };
    let mode = sources.mode();
    let readable = |text: &str| read_key(Path::new(text), mode).map(|_| PathBuf::from(text));
    let key_paths = sources.items(&KEYS, MAX_KEYS, readable)?;
    if key_paths.is_empty() {
        return Err(KEYS.missing());
    }
    let types = sources.items(&TYPES, MAX_TYPES, |text| text.parse().ok())?;
    let min_severity = sources.value(&SEVERITY, |text| text.parse().ok())?;
    let filter = EventFilter { types, min_severity };
    Ok(Some(EventSinkConfig { name: DEFAULT_NAME.to_owned(), url, filter, key_paths, mode }))
}

/// One table as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SinkEntry {
    name: String,
    url: String,
    secret_paths: Vec<PathBuf>,
    types: Option<Vec<String>>,
    min_severity: Option<String>,
}

impl SinkEntry {
    fn sink(self, index: usize, mode: Mode) -> Result<EventSinkConfig, ConfigError> {
        let bad = |field: &str, expects: &str| refused(format!("{SINKS_KEY}[{index}].{field}"), expects);
        let name = Some(self.name).filter(|name| is_name(name));
        let keys = self.secret_paths.len();
        let fits = (1..=MAX_KEYS).contains(&keys)
            && self.secret_paths.iter().all(|path| read_key(path, mode).is_some());
        if !fits {
            return Err(bad("secret_paths", KEYS.expects));
        }
        let types = self.types.unwrap_or_else(|| vec!["rts.security.*".to_owned()]);
        let globs: Option<Vec<EventGlob>> = types.iter().map(|text| text.parse().ok()).collect();
        let globs = globs.filter(|globs| (1..=MAX_TYPES).contains(&globs.len()));
        let severity = self.min_severity.as_deref().unwrap_or("low").parse::<Severity>();
        Ok(EventSinkConfig {
            name: name
                .ok_or_else(|| bad("name", "1 to 40 characters of a-z, 0-9 and -, and not `default`"))?,
            url: safe_url(&self.url).ok_or_else(|| bad("url", URL.expects))?,
            filter: EventFilter {
                types: globs.ok_or_else(|| bad("types", TYPES.expects))?,
                min_severity: severity.map_err(|_| bad("min_severity", SEVERITY.expects))?,
            },
            key_paths: self.secret_paths,
            mode,
        })
    }
}

/// Returns a refusal that quotes no value.
fn refused(place: String, expects: &str) -> ConfigError {
    ConfigError::Bad { place, expects: expects.to_owned(), given: None }
}

fn is_name(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && name != DEFAULT_NAME
}

fn source(text: &str) -> Option<String> {
    // A reference is resolved against some base; which one does not matter.
    let base = Url::parse("https://base.example/").ok()?;
    short_text(text, 200).filter(|text| !text.contains(char::is_whitespace) && base.join(text).is_ok())
}

fn read_key(path: &Path, mode: Mode) -> Option<WebhookKey> {
    let path = secret_file(path, mode)?;
    let small = fs::metadata(&path).is_ok_and(|data| data.len() <= MAX_KEY_FILE);
    let text = small.then(|| fs::read_to_string(&path).ok()).flatten().map(zeroize::Zeroizing::new)?;
    text.trim().parse().ok()
}
