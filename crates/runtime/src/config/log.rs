//! Logging.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::{ConfigError, Section, Setting, Sources};

const LEVEL: Setting = Setting::new(
    "LOG_LEVEL",
    "error, warn, info, debug, trace, or directives such as `info,api=debug`",
    "What is logged.",
)
.or("info");
const FORMAT: Setting = Setting::new(
    "LOG_FORMAT",
    "`json` or `pretty`",
    "How it is logged, on stderr. Without it: `pretty` on a terminal, else `json`.",
);

/// One line of JSON for machines, or coloured text for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Pretty,
}

/// What is logged and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A level or filter directives; known to parse.
    pub level: String,
    /// The form of each line.
    pub format: LogFormat,
}

impl Section for LogConfig {
    const TITLE: &'static str = "Logging";
    const SETTINGS: &'static [Setting] = &[LEVEL, FORMAT];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let terminal = std::io::stderr().is_terminal();
        let fallback = if terminal { LogFormat::Pretty } else { LogFormat::Json };
        Ok(Self {
            level: sources.value(&LEVEL, level)?,
            format: sources.optional(&FORMAT, format)?.unwrap_or(fallback),
        })
    }
}

/// Accepts the words other loggers use for the same levels.
fn level(text: &str) -> Option<String> {
    let text = match text.to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "critical" | "fatal" => "error".to_owned(),
        word @ ("error" | "warn" | "info" | "debug" | "trace" | "off") => word.to_owned(),
        // A lone word would be taken for a target's name and silence everything else.
        other if other.contains(['=', ',', '[']) => text.to_owned(),
        _ => return None,
    };
    (text.len() <= 1000 && EnvFilter::try_new(&text).is_ok()).then_some(text)
}

fn format(text: &str) -> Option<LogFormat> {
    match text.to_ascii_lowercase().as_str() {
        "json" => Some(LogFormat::Json),
        "pretty" | "text" => Some(LogFormat::Pretty),
        _ => None,
    }
}
