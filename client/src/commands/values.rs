//! Values of arguments.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use domain::RunnerStatus;
use serde_json::{Map, Value};

use crate::{connection::Request, error::ClientError};

/// Longest duration that an argument may name.
const MAX_DURATION: Duration = Duration::from_hours(24 * 366);

/// Most bytes of a file of names.
const MAX_FILE: u64 = 1024 * 1024;

/// Consent to a change that takes something away.
#[derive(Clone, Copy, Debug, Args)]
pub struct Consent {
    /// Do it without a question. Needed where no terminal can be asked.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Reason of a change, for the audit log.
#[derive(Clone, Debug, Args)]
pub struct Reason {
    /// Reason, for the audit log.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// Period of the items of a list.
#[derive(Clone, Debug, Args)]
pub struct PeriodArgs {
    /// Only since this time, as in 2026-01-31T12:00:00Z, or since this long ago, as in 2h.
    #[arg(long, value_name = "TIME|DURATION", value_parser = moment)]
    pub(crate) since: Option<DateTime<Utc>>,
    /// Only until this time, or until this long ago.
    #[arg(long, value_name = "TIME|DURATION", value_parser = moment)]
    pub(crate) until: Option<DateTime<Utc>>,
}

impl PeriodArgs {
    /// Adds the period to the request of a list.
    pub(crate) fn add_to(&self, request: Request) -> Request {
        let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        request.query("since", self.since.map(text)).query("until", self.until.map(text))
    }
}

/// Reads a time, or how long ago it was.
fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let ago = duration(text).map_err(|_| "a time such as 2026-01-31T12:00:00Z, or a duration such as 2h")?;
    // The bound of a duration keeps this in the range of times.
    Ok(Utc::now() - ago)
}

/// Reads a duration such as `90s`, `2m`, `1h` or `7d`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let fault = || "a duration such as 90s, 2m, 1h or 7d".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| fault())?;
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(fault()),
    };
    let duration = Duration::from_secs(number.checked_mul(unit).ok_or_else(fault)?);
    if duration > MAX_DURATION { Err("at most 366 days".to_owned()) } else { Ok(duration) }
}

/// Reads the state of a runner.
pub(crate) fn runner_status(text: &str) -> Result<RunnerStatus, String> {
    let words: Vec<&str> = RunnerStatus::ALL.iter().map(|status| status.as_str()).collect();
    text.parse().map_err(|_| format!("one of {}", words.join(", ")))
}

/// Reads the lines of a file, or of stdin for `-`, without empty ones and the spaces around them.
///
/// # Errors
/// [`ClientError::Usage`] if the file cannot be read, or has more than `most` lines.
pub(crate) fn read_lines(path: &Path, most: usize) -> Result<Vec<String>, ClientError> {
    let fault = |reason: String| ClientError::Usage(format!("{}: {reason}", path.display()));
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(MAX_FILE).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
    };
    read.map_err(|error| fault(error.to_string()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned);
    let lines: Vec<String> = lines.take(most + 1).collect();
    if lines.len() > most || text.len() as u64 >= MAX_FILE {
        return Err(fault(format!("more than {most} lines")));
    }
    Ok(lines)
}

/// Reads `NAME=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE".to_owned()),
    }
}

/// A JSON object of the values that were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Adds a member, unless its value was not given.
    pub(crate) fn add(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Adds a list, unless it was not given.
    pub(crate) fn list<T: Into<Value>>(self, name: &str, values: Option<Vec<T>>) -> Self {
        let values = values.map(|values| values.into_iter().map(Into::into).collect::<Vec<Value>>());
        self.add(name, values)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_body(self) -> Value {
        Value::Object(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("2m"), Ok(120));
        assert_eq!(seconds("7d"), Ok(604_800));
        for bad in ["", "m", "-1s", "1.5h", "2w", "99999999999999999999", "400d", "ä"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_are_times_or_ages() {
        let time = moment("2026-01-31T12:00:00Z").unwrap();
        assert_eq!(time.to_rfc3339(), "2026-01-31T12:00:00+00:00");
        let age = Utc::now() - moment("2h").unwrap();
        assert!((7190..7260).contains(&age.num_seconds()), "{age}");
        for bad in ["", "yesterday", "2026-01-31", "400d"] {
            assert!(moment(bad).unwrap_err().starts_with("a time such as"), "{bad}");
        }
    }

    #[test]
    fn pairs_have_a_name() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(pair("=b").is_err() && pair("a").is_err());
    }
}
