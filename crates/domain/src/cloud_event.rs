//! CloudEvents 1.0 about rows of the audit chains, and the filter of those that a sink wants.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{AuditChain, Severity, string_enum::string_enum};

/// Media type of one event in structured mode.
pub const CLOUD_EVENT_MEDIA_TYPE: &str = "application/cloudevents+json";

/// Most characters of a glob.
const MAX_GLOB: usize = 100;

string_enum! {
    /// State of an event that was put aside for a sink.
    EventDeliveryState {
        /// It is not sent any more.
        Dead = "dead",
        /// It is to be sent again.
        Queued = "queued",
        /// The sink has accepted it.
        Delivered = "delivered",
    }
}

/// An event in structured mode.
#[derive(Clone, Debug, Serialize)]
pub struct CloudEvent<'e> {
    specversion: &'static str,
    id: Uuid,
    source: &'e str,
    #[serde(rename = "type")]
    event_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    time: DateTime<Utc>,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'e str>,
    data: &'e Value,
}

/// Facts about the row of an event.
#[derive(Clone, Copy, Debug)]
pub struct EventFacts<'e> {
    /// Id of the row.
    pub id: Uuid,
    /// Chain of the row.
    pub chain: AuditChain,
    /// Event type of the row, such as `team.create`.
    pub event_type: &'e str,
    /// Severity of a security event.
    pub severity: Option<&'e str>,
    /// Time of the row.
    pub time: DateTime<Utc>,
    /// Runner the row is about.
    pub runner: Option<Uuid>,
    /// Team the row is about.
    pub team: Option<Uuid>,
}

impl<'e> CloudEvent<'e> {
    /// Returns the event about a row. `source` is a URI reference; `data` has the members of the row.
    pub fn new(source: &'e str, facts: EventFacts<'e>, data: &'e Value) -> Self {
        let runner = facts.runner.map(|id| format!("runners/{id}"));
        Self {
            specversion: "1.0",
            id: facts.id,
            source,
            event_type: facts.chain.cloud_event_type(facts.event_type),
            subject: runner.or_else(|| facts.team.map(|id| format!("teams/{id}"))),
            time: facts.time,
            datacontenttype: "application/json",
            severity: facts.severity,
            data,
        }
    }
}

impl AuditChain {
    /// Returns the part before a row's event type in the type of its CloudEvent.
    #[must_use]
    pub const fn cloud_event_prefix(self) -> &'static str {
        match self {
            Self::AuditLog => "rts.audit.",
            Self::SecurityEvents => "rts.security.",
        }
    }

    /// Returns the type of the CloudEvent about a row of this chain.
    #[must_use]
    pub fn cloud_event_type(self, event_type: &str) -> String {
        format!("{}{event_type}", self.cloud_event_prefix())
    }
}

/// A glob over the types of CloudEvents: `*` stands for any characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventGlob(String);

/// A text that is no glob over types of events.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a glob of event types is 1 to 100 characters of a-z, 0-9, `_`, `.` and `*`, and begins like `rts.`")]
pub struct BadEventGlob;

impl FromStr for EventGlob {
    type Err = BadEventGlob;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let character =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'*');
        let glob = Self(text.to_owned());
        let fits = (1..=MAX_GLOB).contains(&text.len()) && text.bytes().all(character);
        let matches = AuditChain::ALL.iter().any(|chain| glob.may_match(*chain));
        if fits && matches { Ok(glob) } else { Err(BadEventGlob) }
    }
}

impl EventGlob {
    /// Returns the glob as a pattern of SQL's `LIKE`.
    fn like_pattern(&self) -> String {
        self.0.replace('_', "\\_").replace('*', "%")
    }

    /// Returns whether an event of this chain may match.
    fn may_match(&self, chain: AuditChain) -> bool {
        let (prefix, fixed) = (chain.cloud_event_prefix(), self.0.split('*').next().unwrap_or_default());
        let common = prefix.len().min(fixed.len());
        let whole = fixed.len() == self.0.len() && fixed.len() <= prefix.len();
        prefix.as_bytes()[..common] == fixed.as_bytes()[..common] && !whole
    }
}

/// Which events a sink wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFilter {
    /// Globs, one of which must match the type.
    pub types: Vec<EventGlob>,
    /// Least severity of security events. Audit rows have none.
    pub min_severity: Severity,
}

impl EventFilter {
    /// Returns whether the sink may want rows of this chain.
    pub fn wants(&self, chain: AuditChain) -> bool {
        self.types.iter().any(|glob| glob.may_match(chain))
    }

    /// Returns patterns of SQL's `LIKE`, one of which must match the type.
    pub fn like_patterns(&self) -> Vec<String> {
        self.types.iter().map(EventGlob::like_pattern).collect()
    }

    /// Returns the severities that are wanted.
    pub fn severities(&self) -> Vec<String> {
        let wanted = Severity::ALL.iter().filter(|severity| **severity >= self.min_severity);
        wanted.map(|severity| severity.as_str().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn event_has_the_attributes_of_the_specification() {
        let facts = EventFacts {
            id: Uuid::nil(),
            chain: AuditChain::SecurityEvents,
            event_type: "credential_denied",
            severity: Some("high"),
            time: "2026-01-31T12:00:00.5Z".parse().unwrap(),
            runner: None,
            team: Some(Uuid::max()),
        };
        let data = json!({ "id": Uuid::nil() });
        let expected = json!({
            "specversion": "1.0",
            "id": Uuid::nil(),
            "source": "/rts",
            "type": "rts.security.credential_denied",
            "subject": format!("teams/{}", Uuid::max()),
            "time": "2026-01-31T12:00:00.500Z",
            "datacontenttype": "application/json",
            "severity": "high",
            "data": data,
        });
        let event = CloudEvent::new("/rts", facts, &data);
        assert_eq!(serde_json::to_value(&event).unwrap(), expected);
        let bare = CloudEvent::new("/rts", EventFacts { severity: None, team: None, ..facts }, &data);
        let bare = serde_json::to_value(&bare).unwrap();
        assert_eq!((bare.get("subject"), bare.get("severity")), (None, None), "null is no attribute");
    }

    #[test]
    fn globs_choose_chains_and_become_patterns() {
        let filter = |globs: &[&str]| EventFilter {
            types: globs.iter().map(|glob| glob.parse().unwrap()).collect(),
            min_severity: Severity::High,
        };
        let wanted =
            |globs: &[&str]| AuditChain::ALL.iter().map(|chain| filter(globs).wants(*chain)).collect();
        for (globs, expected) in [
            (&["*"][..], vec![true, true]),
            (&["rts.*"], vec![true, true]),
            (&["rts.security.*"], vec![false, true]),
            (&["rts.security.*", "rts.audit.team.*"], vec![true, true]),
            (&["rts.a*"], vec![true, false]),
            (&["*.team.create"], vec![true, true]),
        ] {
            let wanted: Vec<bool> = wanted(globs);
            assert_eq!(wanted, expected, "{globs:?}");
        }
        let patterns = filter(&["rts.security.label_*"]).like_patterns();
        assert_eq!(patterns, ["rts.security.label\\_%"]);
        assert_eq!(filter(&["*"]).severities(), ["high", "critical"]);
    }

    #[test]
    fn globs_that_match_nothing_are_refused() {
        for bad in ["", "team.create", "rts.audit.", "rts", "rts.other.*", "RTS.*", "rts.audit.a b", "rts.%"]
        {
            assert!(bad.parse::<EventGlob>().is_err(), "{bad}");
        }
        assert!(format!("rts.audit.{}", "a".repeat(100)).parse::<EventGlob>().is_err());
    }
}
