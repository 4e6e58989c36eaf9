//! Words and numbers as the operators' pages show them.

use domain::{BlockedOn, JobEventKind, JobKind, Lane};
use url::Url;

/// Returns the work of a lane as a noun.
pub(crate) const fn lane_noun(lane: Lane) -> &'static str {
    match lane {
        Lane::Provision => "provisioning",
        Lane::Deprovision => "removals",
        Lane::Drift => "drift checks",
    }
}

/// Returns what a job of this kind does.
pub(crate) const fn kind_noun(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Provision => "runner with a JIT config",
        JobKind::Register => "runner with a registration token",
        JobKind::Deprovision => "removal of a runner",
        JobKind::DriftCheck => "check of a runner",
    }
}

/// Returns what a queued job waits for.
pub(crate) const fn waits_for(reason: BlockedOn) -> &'static str {
    match reason {
        BlockedOn::Worker => "a free worker",
        BlockedOn::Budget => "GitHub's limit",
        BlockedOn::GithubOutage => "GitHub, which is failing",
        BlockedOn::Paused => "the end of a pause",
        BlockedOn::Retry => "its next try after a failure",
        BlockedOn::Busy => "the end of the runner's workflow job",
    }
}

/// Returns the sentence of an event in the history of a job.
pub(crate) const fn event_sentence(event: JobEventKind) -> &'static str {
    match event {
        JobEventKind::Accepted => "The request was accepted.",
        JobEventKind::Started => "A worker started the job.",
        JobEventKind::Snoozed => "The job waits.",
        JobEventKind::Retried => "The start failed; the job is tried again.",
        JobEventKind::Released => "The worker stopped and gave the job back.",
        JobEventKind::Rescued => "The worker died; another one takes over.",
        JobEventKind::Restarted => "The worker could not record the result; the job starts again.",
        JobEventKind::Succeeded => "The job succeeded.",
        JobEventKind::Failed => "The job failed.",
        JobEventKind::Cancelled => "The job was cancelled.",
        JobEventKind::Expired => "The deadline passed.",
    }
}

/// Returns a number of a row as a count.
pub(crate) fn natural(number: impl TryInto<u64>) -> u64 {
    number.try_into().unwrap_or_default()
}

/// Returns a share in percent, rounded down.
pub(crate) fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or_default()
}

/// Returns the path of a page from its parts, which may contain any characters.
pub(crate) fn path(parts: &[&str]) -> String {
    let Ok(mut url) = Url::parse("http://localhost/") else { return "/".to_owned() };
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear().extend(parts);
    }
    url.path().to_owned()
}

/// Returns what a step of the schedulers does; nothing for a step of another version.
pub(crate) fn purpose_of_step(step: &str) -> &'static str {
    match step {
        "audit_chain" => "chains new audit rows",
        "batches" => "works on batches",
        "budget" => "measures GitHub's limits",
        "cancel" => "cancels workflow runs that break a policy",
        "depth" => "measures the queue",
        "depths" => "writes the course of the queue's depth",
        "events" => "sends events to the sinks",
        "expire" => "ends jobs whose deadline has passed",
        "fleet" => "counts runners and jobs for metrics",
        "flow" => "counts the jobs of each minute",
        "forget" | "forget_events" | "forget_webhooks" => "removes what is no longer needed",
        "inbox" => "handles webhooks",
        "incidents" => "works on incidents",
        "leader" => "says in Redis that this scheduler leads",
        "pauses" => "restores pauses that Redis has lost",
        "prune" => "removes rows that are older than their retention",
        "reap" => "looks for runners whose creation was not answered",
        "redeliver" => "asks GitHub for missed webhooks",
        "reports" => "writes this table",
        "shred" => "shreds configs that were handed out or have expired",
        "stale" => "removes runners that are offline for long",
        "suspension" => "pauses installations that GitHub has suspended",
        "sweep" => "puts jobs back that the queue has lost",
        "unused" => "removes runners whose config was not used",
        "verdict" => "measures the verdict",
        "versions" => "asks for versions of the runner",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_down_and_negative_numbers_none() {
        assert_eq!((percent(1, 3), percent(1, 0), natural(-1_i64)), (33, 0, 0));
    }

    #[test]
    fn parts_of_a_path_stay_parts() {
        assert_eq!(path(&["workers", "a/b c?d#<e>", "drain"]), "/workers/a%2Fb%20c%3Fd%23%3Ce%3E/drain");
    }
}
