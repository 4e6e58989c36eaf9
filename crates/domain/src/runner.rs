//! Runners: names, labels, states.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{InstallationId, JobId, Requester, RunnerId, TeamId, lane::string_enum};

string_enum! {
    /// Where a runner stands. `deleted` is final.
    RunnerStatus {
        /// Asked for; GitHub has not answered yet.
        Requested = "requested",
        /// Config issued, never seen online.
        Pending = "pending",
        /// Online.
        Active = "active",
        /// Was online, is not now.
        Offline = "offline",
        /// Gone, on proof.
        Deleted = "deleted",
    }
}

impl RunnerStatus {
    /// Whether a runner may go from here to `next`.
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

/// A runner's name: 1 to 64 characters of `A-Z a-z 0-9 . _ -`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunnerName(String);

/// What is wrong with a runner name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a runner name is 1 to 64 characters of A-Z a-z 0-9 . _ - and begins with a letter or digit")]
pub struct BadRunnerName;

fn fits_name(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Whether `text` may stand before a generated name.
pub fn is_name_prefix(text: &str) -> bool {
    fits_name(text, crate::job::MAX_PREFIX)
}

impl RunnerName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `<prefix>-<12 characters>` for one try of one job. The characters spell the random half of the job's id,
    /// mixed with the generation, so that no two tries of any two jobs share a name.
    pub(crate) fn generated(prefix: &str, job: JobId, generation: i16) -> Self {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let random =
            u64::from_be_bytes(job.uuid().as_bytes()[8..].first_chunk::<8>().copied().unwrap_or_default());
        let mixed = random ^ u64::from(generation.unsigned_abs());
        let tail: String =
            (0..12).rev().map(|i| char::from(ALPHABET[((mixed >> (i * 5)) & 31) as usize])).collect();
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

/// One runner as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Runner {
    /// Our id.
    pub id: RunnerId,
    /// Where it lives.
    pub installation: InstallationId,
    /// Its team.
    pub team: TeamId,
    /// Its team's name.
    pub team_name: String,
    /// Who asked for it.
    pub provisioned_by: Requester,
    /// What to call them: e-mail, name or subject; a client's id.
    pub provisioned_by_name: Option<String>,
    /// Its name on GitHub (while `requested`: the name of the newest try).
    pub name: String,
    /// Where it stands.
    pub status: RunnerStatus,
    /// Runs a workflow job just now.
    pub busy: bool,
    /// GitHub's id.
    pub github_runner_id: Option<i64>,
    /// GitHub's runner group.
    pub runner_group_id: i64,
    /// That group's name, where it must be told to the runner.
    pub runner_group_name: Option<String>,
    /// Labels bound at the request.
    pub labels: Vec<String>,
    /// Takes one workflow job and is gone.
    pub ephemeral: bool,
    /// It registers itself, with a token: until it has been seen, GitHub has no id for it.
    pub registers_itself: bool,
    /// The runner software, as the caller stated it.
    pub stated_version: Option<String>,
    /// The runner software, as GitHub told it.
    pub version: Option<String>,
    /// Asked for.
    pub created_at: DateTime<Utc>,
    /// Last changed.
    pub updated_at: DateTime<Utc>,
    /// Config issued.
    pub registered_at: Option<DateTime<Utc>>,
    /// Gone since.
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
    fn names_have_bounds() {
        for good in ["a", "A.b_c-9", &"x".repeat(64)] {
            assert!(good.parse::<RunnerName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a b", "a/b", "é", "a\n", &"x".repeat(65)] {
            assert_eq!(bad.parse::<RunnerName>(), Err(BadRunnerName), "{bad:?}");
        }
    }
}
