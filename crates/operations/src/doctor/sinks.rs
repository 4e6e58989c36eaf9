//! Checks of the sinks of events, as the database knows them.

use chrono::{DateTime, TimeDelta, Utc};
use store::StreamRow;

use super::Finding;

/// Time after which a failing sink is a fault.
const MAX_FAILING: TimeDelta = TimeDelta::minutes(30);
/// Time after which a stream is no longer in the settings of a scheduler, an hour of tolerance included.
const UNSEEN_AFTER: TimeDelta = TimeDelta::hours(3);
/// Group of these findings.
const GROUP: &str = "events";

/// Judges the streams, and the numbers of events that were put aside for each sink.
pub(super) fn judge(streams: &[StreamRow], dead: &[(String, i64)], now: DateTime<Utc>) -> Vec<Finding> {
    let current = |stream: &&StreamRow| now - stream.seen_at < UNSEEN_AFTER;
    let mut findings: Vec<Finding> =
        streams.iter().filter(current).map(|stream| judge_stream(stream, now)).collect();
    findings.extend(dead.iter().filter(|(_, count)| *count > 0).map(|(sink, count)| {
        let detail = format!("events put aside for the sink {sink}: {count}");
        let repair = "Look at `rts event-delivery list --state dead`, repair the receiver, and run `rts event-delivery retry --all`.";
        Finding::warn(GROUP, detail, repair)
    }));
    findings
}

fn judge_stream(stream: &StreamRow, now: DateTime<Utc>) -> Finding {
    let StreamRow { sink, chain, .. } = stream;
    let Some(since) = stream.failing_since else {
        return Finding::ok(GROUP, format!("the sink {sink} accepts the rows of {chain}"));
    };
    let reason = stream.last_error.as_deref().unwrap_or("no reason is recorded");
    let minutes = (now - since).num_minutes();
    let detail = format!("the sink {sink} has not accepted the rows of {chain} for {minutes} min: {reason}");
    let repair = "Repair the receiver, or its URL and keys in the scheduler's settings. Events wait in order meanwhile.";
    if now - since >= MAX_FAILING {
        Finding::fail(GROUP, detail, repair)
    } else {
        Finding::warn(GROUP, detail, repair)
    }
}

#[cfg(test)]
mod tests {
    use domain::{AuditChain, ChainPlace};

    use super::{super::Level, *};

    fn stream(failing_minutes: Option<i64>, unseen_hours: i64) -> StreamRow {
        let now = now();
        StreamRow {
            sink: "siem".to_owned(),
            chain: AuditChain::AuditLog,
            place: ChainPlace::START,
            refusals: 0,
            failing_since: failing_minutes.map(|minutes| now - TimeDelta::minutes(minutes)),
            next_at: now,
            waiting_since: None,
            last_status: Some(500),
            last_error: Some("the sink answered 500".to_owned()),
            delivered_at: None,
            seen_at: now - TimeDelta::hours(unseen_hours),
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-01-31T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn failing_sinks_are_faults_after_a_while() {
        let level = |failing, unseen| {
            judge(&[stream(failing, unseen)], &[], now()).first().map(|finding| finding.level)
        };
        assert_eq!([level(None, 0), level(Some(5), 1)], [Some(Level::Ok), Some(Level::Warn)]);
        assert_eq!([level(Some(30), 0), level(Some(30), 4)], [Some(Level::Fail), None]);
        let findings = judge(&[], &[("siem".to_owned(), 3), ("other".to_owned(), 0)], now());
        assert_eq!((findings.len(), findings[0].level), (1, Level::Warn));
    }
}
