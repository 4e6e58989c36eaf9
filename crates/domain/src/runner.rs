//! Runners: names and states.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{InstallationId, JobId, Requester, RunnerId, TeamId, string_enum::string_enum};

string_enum! {
    /// State of a runner. `deleted` is final.
    RunnerStatus {
        /// Requested; GitHub has not answered yet.
        Requested = "requested",
        /// Config issued, never seen online.
        Pending = "pending",
        /// Online.
        Active = "active",
        /// Was online, now offline.
        Offline = "offline",
        /// Removed from GitHub, with proof.
        Deleted = "deleted",
    }
}

impl RunnerStatus {
    /// Returns whether the transition to `next` is allowed.
    pub const fn may_become(self, next: Self) -> bool {
        use RunnerStatus::{Active, Deleted, Offline, Pending, Requested};
        matches!(
            (self, next),
            (Requested, Pending | Deleted)
                | (Pending | Offline, Active | Deleted)
                | (Active, Offline | Deleted)
        )
    }
}

/// A runner name: 1 to 64 characters of `A-Z a-z 0-9 . _ -`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunnerName(String);

/// A text that is not a valid runner name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a runner name is 1 to 64 characters of A-Z a-z 0-9 . _ - and begins with a letter or digit")]
pub struct BadRunnerName;

fn fits_name(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Returns whether `text` is a valid prefix of generated names.
pub fn is_name_prefix(text: &str) -> bool {
    fits_name(text, crate::job::MAX_PREFIX)
}

/// Characters of the end of a generated name.
const TAIL_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Length of that end.
const TAIL_LENGTH: usize = 12;

/// Returns whether `text` has the form of a generated name. Other software may use this form too.
pub fn has_generated_form(text: &str) -> bool {
    text.rsplit_once('-').is_some_and(|(prefix, tail)| {
        is_name_prefix(prefix)
            && tail.len() == TAIL_LENGTH
            && tail.bytes().all(|b| TAIL_ALPHABET.contains(&b))
    })
}

impl RunnerName {
    /// Returns the name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns `<prefix>-<12 characters>` for one attempt of one job. The characters encode the random half of the
    /// job's id mixed with the generation, so that no two attempts share a name.
    pub(crate) fn generated(prefix: &str, job: JobId, generation: i16) -> Self {
        let random =
            u64::from_be_bytes(job.uuid().as_bytes()[8..].first_chunk::<8>().copied().unwrap_or_default());
        let mixed = random ^ u64::from(generation.unsigned_abs());
        let tail: String = (0..TAIL_LENGTH)
            .rev()
            .map(|i| char::from(TAIL_ALPHABET[((mixed >> (i * 5)) & 31) as usize]))
            .collect();
        Self(format!("{prefix}-{tail}"))
    }
}

impl TryFrom<String> for RunnerName {
    type Error = BadRunnerName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if fits_name(&text, 64) { Ok(Self(text)) } else { Err(BadRunnerName) }
    }
}

impl FromStr for RunnerName {
    type Err = BadRunnerName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl From<RunnerName> for String {
    fn from(name: RunnerName) -> Self {
        name.0
    }
}

impl fmt::Display for RunnerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One stored runner.
#[derive(Clone, Debug, PartialEq)]
pub struct Runner {
    /// Id of the runner.
    pub id: RunnerId,
    /// Installation the runner belongs to.
    pub installation: InstallationId,
    /// Team of the runner.
    pub team: TeamId,
    /// Name of the team.
    pub team_name: String,
    /// Requester of the runner.
    pub provisioned_by: Requester,
    /// Readable name of the requester: e-mail, name or subject; for a machine client its id.
    pub provisioned_by_name: Option<String>,
    /// Name on GitHub; while `requested`, the name of the newest attempt.
    pub name: String,
    /// Current state.
    pub status: RunnerStatus,
    /// Whether the runner runs a workflow job now.
    pub busy: bool,
    /// GitHub's id of the runner.
    pub github_runner_id: Option<i64>,
    /// Installation whose App made the runner: in an App pool, one of its Apps. `None` before that, and for runners of
    /// earlier versions.
    pub app_installation: Option<String>,
    /// GitHub's id of the runner group.
    pub runner_group_id: i64,
    /// Name of the runner group, if the runner program needs it.
    pub runner_group_name: Option<String>,
    /// Labels bound at the request.
    pub labels: Vec<String>,
    /// Whether the runner ends after one workflow job.
    pub ephemeral: bool,
    /// Whether the runner registers itself with a token. GitHub has no id for it until then.
    pub registers_itself: bool,
    /// Version of the runner software, as the caller stated it.
    pub stated_version: Option<String>,
    /// Version of the runner software, as GitHub reports it.
    pub version: Option<String>,
    /// Time of the request.
    pub created_at: DateTime<Utc>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
    /// Time at which the config was issued.
    pub registered_at: Option<DateTime<Utc>>,
    /// Time of the deletion.
    pub deleted_at: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deleted_is_final_and_nothing_skips_pending() {
        for next in RunnerStatus::ALL {
            assert!(!RunnerStatus::Deleted.may_become(*next));
        }
        assert!(!RunnerStatus::Requested.may_become(RunnerStatus::Active));
        assert!(!RunnerStatus::Pending.may_become(RunnerStatus::Offline));
    }

    #[test]
    fn generated_names_have_the_generated_form() {
        let job = JobId::new();
        for prefix in ["ci", "a-b", "x0123456789ab", &"p".repeat(crate::job::MAX_PREFIX)] {
            assert!(has_generated_form(RunnerName::generated(prefix, job, 1).as_str()));
        }
        for other in [
            "ci",
            "ci-0123456789a",
            "ci-0123456789abc",
            "ci-0123456789ai",
            "-0123456789ab",
            "ci-0123456789aB",
        ] {
            assert!(!has_generated_form(other), "{other}");
        }
    }

    #[test]
    fn names_have_bounds() {
        for good in ["a", "A.b_c-9", &"x".repeat(64)] {
            assert!(good.parse::<RunnerName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a b", "a/b", "é", "a\n", &"x".repeat(65)] {
            assert_eq!(bad.parse::<RunnerName>(), Err(BadRunnerName), "{bad:?}");
        }
    }
}
