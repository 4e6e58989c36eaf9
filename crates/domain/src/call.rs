//! Intents: GitHub calls that are recorded before they are made.
//!
//! A lost response can then be resolved by a lookup of the recorded runner name.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{CallId, InstallationId, JobId, RunnerName, string_enum::string_enum};

string_enum! {
    /// State of one GitHub call that creates a runner.
    CallState {
        /// Recorded; not yet made, or the process died before it could record the result.
        Intent = "intent",
        /// Made, recorded and bound to its runner.
        Delivered = "delivered",
        /// Refused by GitHub or never sent: nothing was created.
        Refused = "refused",
        /// The response was lost, so a runner may exist: a lookup is due.
        EffectSuspected = "effect_suspected",
        /// The last lookup is done and nothing is left on GitHub.
        Settled = "settled",
    }
}

/// One recorded GitHub call that creates a runner.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Id of the call.
    pub id: CallId,
    /// Job that made the call.
    pub job: JobId,
    /// Installation the call belongs to.
    pub installation: InstallationId,
    /// Number of the attempt, from 1.
    pub generation: i16,
    /// Requested runner name.
    pub runner_name: RunnerName,
    /// Current state.
    pub state: CallState,
    /// GitHub's id of the created runner, if known.
    pub github_runner_id: Option<i64>,
    /// Number of lookups so far.
    pub reap_attempts: i16,
    /// Start of the call.
    pub started_at: DateTime<Utc>,
}

/// Returns the delay between the call and its lookup number `n`, counted from 0. `None` if no further lookup is due.
pub fn reap_due(n: i16) -> Option<TimeDelta> {
    [TimeDelta::seconds(30), TimeDelta::minutes(2), TimeDelta::minutes(10), TimeDelta::hours(1)]
        .get(usize::try_from(n).ok()?)
        .copied()
}
