//! State of the service in the words of someone who wants a runner.

use domain::{VerdictCode, VerdictLevel};

use super::{format::span, snapshot::Snapshot};

/// What the state of the service means for a new runner.
pub(crate) struct Outlook {
    /// `Ok` if it starts at once, `Slow` if it waits, `Stopped` if it does not start.
    pub(crate) level: VerdictLevel,
    /// The meaning in one sentence.
    pub(crate) sentence: String,
}

impl Outlook {
    /// Returns the outlook of a state.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        use VerdictCode::{
            AppUnusable, DatabaseAway, GithubOutage, InstallationSuspended, MinuteLimit, Moving,
            NoCredential, NoLeader, NoWorker, OperatorNeeded, Paused, QueueAway, RemovalsHeld,
            SecondaryLimit, SlotsFull, Stuck, SyncBehind, TeamLimit, WindowEmpty,
        };
        let because = |cause: &str| (VerdictLevel::Slow, waits_because(snapshot, cause));
        let (level, sentence) = match snapshot.verdict.code {
            Moving | NoLeader | SyncBehind | RemovalsHeld | TeamLimit | AppUnusable => {
                (VerdictLevel::Ok, "New runners start at once.".to_owned())
            }
            SlotsFull => because("all workers are busy"),
            MinuteLimit | SecondaryLimit | WindowEmpty => because("GitHub's limit is reached"),
            GithubOutage => because("GitHub does not answer properly"),
            Paused => because("an admin has paused jobs"),
            DatabaseAway => {
                (VerdictLevel::Stopped, "No request is accepted now; the operators see it.".to_owned())
            }
            QueueAway | InstallationSuspended | OperatorNeeded | NoWorker | NoCredential | Stuck => (
                VerdictLevel::Stopped,
                "Requests are accepted, but no new runner starts now; the operators see it.".to_owned(),
            ),
        };
        Self { level, sentence }
    }
}

fn waits_because(snapshot: &Snapshot, cause: &str) -> String {
    let lanes = snapshot.picture.queue.iter().flat_map(|queue| &queue.lanes).filter(|lane| lane.waiting > 0);
    match lanes.map(|lane| lane.oldest).max() {
        Some(oldest) => format!("The oldest request waits {}: {cause}.", span(oldest)),
        None => format!("New runners may wait: {cause}."),
    }
}
