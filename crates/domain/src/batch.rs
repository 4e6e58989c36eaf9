//! Batches: one change of many people, teams, runners or failed jobs.

use crate::string_enum::string_enum;

string_enum! {
    /// The change that a batch makes to each item.
    BatchAction {
        /// Deactivate people.
        DisableUsers = "disable_users",
        /// Activate people again.
        RestoreUsers = "restore_users",
        /// Remove runners from GitHub.
        DeleteRunners = "delete_runners",
        /// Deactivate teams.
        DeactivateTeams = "deactivate_teams",
        /// Activate teams again.
        ReactivateTeams = "reactivate_teams",
        /// Ask again for the runners of failed jobs.
        RetryJobs = "retry_jobs",
        /// Discard failed jobs.
        DiscardJobs = "discard_jobs",
    }
}

string_enum! {
    /// State of a batch.
    BatchState {
        /// Items wait or are worked on.
        Running = "running",
        /// Stopped before its end; it can be resumed.
        Stopped = "stopped",
        /// Every item has an outcome.
        Done = "done",
    }
}

string_enum! {
    /// Outcome of one item.
    BatchItemState {
        /// Not yet worked on.
        Waiting = "waiting",
        /// Changed; a runner's removal is ordered, or the runner of a failed job is asked for again.
        Done = "done",
        /// It was so already.
        Unchanged = "unchanged",
        /// Left alone on purpose: the caller, an admin or the last admin.
        Spared = "spared",
        /// Refused; the detail says why.
        Failed = "failed",
    }
}
