//! Settings of logging.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::{ConfigError, Section, Setting, Sources};

const LEVEL: Setting = Setting::new(
    "LOG_LEVEL",
    "error, warn, info, debug, trace, or directives such as `info,api=debug`",
    "Level of the log, or filter directives.",
)
.or("info");
const FORMAT: Setting = Setting::new(
    "LOG_FORMAT",
    "`json` or `pretty`",
    "Format of the log lines on stderr. Without it: `pretty` on a terminal, else `json`.",
);

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Coloured text for people.
    Pretty,
}

/// Level and format of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A level or filter directives; known to be valid.
    pub level: String,
    /// Format of each line.
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

/// Reads a level, including the level names of other loggers.
fn level(text: &str) -> Option<String> {
    let text = match text.to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "critical" | "fatal" => "error".to_owned(),
        word @ ("error" | "warn" | "info" | "debug" | "trace" | "off") => word.to_owned(),
        // A single unknown word would be parsed as a target's name and disable all other targets.
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
