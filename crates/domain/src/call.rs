//! Intents: what is written down before GitHub is asked to make something, and what became of it.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{CallId, InstallationId, JobId, RunnerName, lane::string_enum};

string_enum! {
    /// What became of one call that makes a runner.
    CallState {
        /// About to be made, or its maker died before it could say.
        Intent = "intent",
        /// Made, recorded and bound to its runner.
        Delivered = "delivered",
        /// GitHub said no, or never got it: nothing was made.
        Refused = "refused",
        /// May have been made although no answer said so: to be looked up.
        EffectSuspected = "effect_suspected",
        /// Looked up for the last time; nothing of it is left.
        Settled = "settled",
    }
}

/// One such call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Its id.
    pub id: CallId,
    /// For which job.
    pub job: JobId,
    /// Whose GitHub.
    pub installation: InstallationId,
    /// Which try, from 1.
    pub generation: i16,
    /// The name asked for.
    pub runner_name: RunnerName,
    /// What became of it.
    pub state: CallState,
    /// GitHub's id of what it made, where known.
    pub github_runner_id: Option<i64>,
    /// How often it was looked up.
    pub reap_attempts: i16,
    /// When it was made.
    pub started_at: DateTime<Utc>,
}

/// How long after the call the `n`-th look-up (from 0) is due; none when it has been looked up often enough.
pub fn reap_due(n: i16) -> Option<TimeDelta> {
    [TimeDelta::seconds(30), TimeDelta::minutes(2), TimeDelta::minutes(10), TimeDelta::hours(1)]
        .get(usize::try_from(n).ok()?)
        .copied()
}
