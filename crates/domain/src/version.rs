//! Versions of the runner software, and the dates until which GitHub accepts them.

use std::{fmt, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::string_enum::string_enum;

/// Time before a cut-off date at which a version counts as deprecated soon.
pub const DEPRECATION_NOTICE: TimeDelta = TimeDelta::days(14);

/// A version in GitHub's form: three numbers of up to five digits, `2.336.0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunnerVersion(String);

/// A text that is not a version.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a version is three numbers of up to five digits, such as 2.336.0")]
pub struct BadVersion;

impl RunnerVersion {
    /// Returns the version's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RunnerVersion {
    type Error = BadVersion;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let number = |part: &str| (1..=5).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let fits = text.split('.').count() == 3 && text.split('.').all(number);
        if fits { Ok(Self(text)) } else { Err(BadVersion) }
    }
}

impl FromStr for RunnerVersion {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl From<RunnerVersion> for String {
    fn from(version: RunnerVersion) -> Self {
        version.0
    }
}

impl fmt::Display for RunnerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

string_enum! {
    /// Support state of a version.
    VersionState {
        /// GitHub publishes no cut-off date.
        Unknown = "unknown",
        /// GitHub accepts the version.
        Current = "current",
        /// GitHub will soon stop accepting the version.
        Soon = "deprecated_soon",
        /// GitHub no longer accepts the version.
        Deprecated = "deprecated",
    }
}

/// Dates until which GitHub accepts a version; `None` if GitHub publishes no date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutOff {
    /// Last date for the registration of new runners.
    pub registration: Option<DateTime<Utc>>,
    /// Last date for running registered runners.
    pub runtime: Option<DateTime<Utc>>,
}

impl CutOff {
    /// Returns the earlier of both dates.
    pub fn first(&self) -> Option<DateTime<Utc>> {
        self.registration.into_iter().chain(self.runtime).min()
    }

    /// Returns the support state at `now`.
    pub fn state(&self, now: DateTime<Utc>) -> VersionState {
        match self.first() {
            None => VersionState::Unknown,
            Some(at) if at <= now => VersionState::Deprecated,
            Some(at) if at <= now + DEPRECATION_NOTICE => VersionState::Soon,
            Some(_) => VersionState::Current,
        }
    }

    /// Returns the whole days until the earlier date, rounded down, once the version is near its end: 0 after it.
    pub fn days_left(&self, now: DateTime<Utc>) -> Option<i64> {
        let ends = matches!(self.state(now), VersionState::Soon | VersionState::Deprecated);
        self.first().filter(|_| ends).map(|at| (at - now).num_days().max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_three_numbers() {
        for good in ["2.336.0", "0.0.0", "99999.1.12345"] {
            assert!(good.parse::<RunnerVersion>().is_ok(), "{good}");
        }
        for bad in ["", "2.336", "2.336.0.1", "v2.336.0", "2.336.0-rc1", "2..0", "123456.0.0", "2.336.0 "] {
            assert_eq!(bad.parse::<RunnerVersion>(), Err(BadVersion), "{bad:?}");
        }
    }

    #[test]
    fn first_cut_off_date_is_reported_in_time() {
        let now = DateTime::UNIX_EPOCH;
        let at = |days| Some(now + TimeDelta::days(days));
        let state = |registration, runtime| CutOff { registration, runtime }.state(now);
        assert_eq!(state(None, None), VersionState::Unknown);
        assert_eq!(state(at(15), at(30)), VersionState::Current);
        assert_eq!(state(at(14), at(30)), VersionState::Soon);
        assert_eq!(state(None, at(1)), VersionState::Soon);
        assert_eq!(state(at(0), at(30)), VersionState::Deprecated);
        let left = |registration| CutOff { registration: at(registration), runtime: at(30) }.days_left(now);
        assert_eq!((left(15), left(11), left(-1)), (None, Some(11), Some(0)));
    }
}
