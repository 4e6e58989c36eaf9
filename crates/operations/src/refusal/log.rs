//! Log of refusals of callers who are not authorised. Anyone with a token of a trusted issuer can cause them, so equal
//! refusals are counted and the rows per window are limited.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::{AuditEntry, SecurityEvent};
use serde_json::json;

use crate::Operations;

/// Length of a window. Equal refusals within it give one row and one summary.
const WINDOW: Duration = Duration::from_mins(10);
/// Maximum rows of one kind per window; further refusals are only counted.
const MAX_ROWS: usize = 20;

/// Kind of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// A valid token of an unknown principal.
    UnknownPrincipal,
    /// A token of a deactivated user or machine client.
    InactivePrincipal,
    /// A token whose e-mail belongs to another user.
    Binding,
    /// A call that the caller's role does not allow.
    AdminCall,
    /// A claim ticket that gives the machine nothing.
    Ticket,
}

/// Audit row to write, with its security event if it has one.
#[derive(Clone, Debug)]
struct Row {
    entry: AuditEntry,
    event: Option<SecurityEvent>,
}

impl Row {
    fn without_event(entry: AuditEntry) -> Self {
        Self { entry, event: None }
    }
}

/// Refusals of the current windows.
#[derive(Debug, Default)]
pub struct RefusalLog(Mutex<HashMap<Refused, Window>>);

/// A window of one kind.
#[derive(Debug)]
struct Window {
    since: Instant,
    rows: HashMap<String, Repeated>,
    /// Number of refusals beyond [`MAX_ROWS`], with the last of them.
    others: Option<Repeated>,
}

/// A refusal and the number of its repetitions since it was written.
#[derive(Debug)]
struct Repeated {
    entry: AuditEntry,
    times: u64,
}

impl Window {
    fn new(now: Instant) -> Self {
        Self { since: now, rows: HashMap::new(), others: None }
    }

    /// Returns the rows that report counted refusals.
    fn summary(self) -> Vec<Row> {
        let repeated = self.rows.into_values().filter(|row| row.times > 0);
        let repeated = repeated.map(|row| with_count(row, "repeated"));
        repeated.chain(self.others.map(|row| with_count(row, "others"))).map(Row::without_event).collect()
    }
}

fn with_count(row: Repeated, counter: &str) -> AuditEntry {
    let mut entry = row.entry;
    match &mut entry.data {
        serde_json::Value::Object(data) => {
            data.insert(counter.to_owned(), json!(row.times));
        }
        data => *data = json!({ counter: row.times }),
    }
    entry
}

impl RefusalLog {
    /// Counts one refusal. Returns the rows to write now: the first of its key, unless the window is full.
    fn count(&self, kind: Refused, key: String, row: Row, now: Instant) -> Vec<Row> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Self::take_due(&mut windows, now);
        let window = windows.entry(kind).or_insert_with(|| Window::new(now));
        if let Some(known) = window.rows.get_mut(&key) {
            known.times += 1;
        } else if window.rows.len() < MAX_ROWS {
            window.rows.insert(key, Repeated { entry: row.entry.clone(), times: 0 });
            due.push(row);
        } else {
            let times = window.others.as_ref().map_or(0, |others| others.times);
            window.others = Some(Repeated { entry: row.entry, times: times + 1 });
        }
        due
    }

    /// Returns the summaries of the windows that are over, or of all windows if `all` is set.
    fn summaries_due(&self, now: Instant, all: bool) -> Vec<Row> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all {
            return windows.drain().flat_map(|(_, window)| window.summary()).collect();
        }
        Self::take_due(&mut windows, now)
    }

    fn take_due(windows: &mut HashMap<Refused, Window>, now: Instant) -> Vec<Row> {
        let over = windows.extract_if(|_, window| now.saturating_duration_since(window.since) >= WINDOW);
        over.flat_map(|(_, window)| window.summary()).collect()
    }
}

impl Operations<'_> {
    /// Writes a refusal of a caller who is not authorised, or counts it if one with an equal key was written in the
    /// window. A failed write is logged and does not change the response.
    pub async fn record_unauthorised(
        &self,
        log: &RefusalLog,
        kind: Refused,
        key: String,
        entry: AuditEntry,
        event: Option<SecurityEvent>,
    ) {
        let due = log.count(kind, key, Row { entry, event }, Instant::now());
        self.write_rows(due).await;
    }

    /// Writes the summaries of the windows that are over, or of all windows if `all` is set.
    pub async fn flush_refusals(&self, log: &RefusalLog, all: bool) {
        self.write_rows(log.summaries_due(Instant::now(), all)).await;
    }

    async fn write_rows(&self, rows: Vec<Row>) {
        if rows.is_empty() {
            return;
        }
        let written = async {
            let mut tx = self.store.begin().await?;
            for Row { entry, event } in &rows {
                tx.audit().write(entry).await?;
                if let Some(event) = event {
                    tx.audit().alarm(event, entry).await?;
                }
            }
            tx.commit().await
        };
        if let Err(error) = written.await {
            tracing::warn!(%error, rows = rows.len(), "cannot write refusals to the audit log");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str) -> Row {
        let entry = AuditEntry { identity: Some(key.to_owned()), ..AuditEntry::service("principal.unknown") };
        Row::without_event(entry)
    }

    #[test]
    fn equal_refusals_are_one_row_and_a_count() {
        let (log, start) = (RefusalLog::default(), Instant::now());
        let count = |key: &str, at| log.count(Refused::UnknownPrincipal, key.to_owned(), row(key), at).len();
        assert_eq!(count("a", start), 1);
        assert_eq!((0..1000).map(|_| count("a", start)).sum::<usize>(), 0);
        assert_eq!(count("b", start), 1);
        assert!(log.summaries_due(start, false).is_empty());
        let due = log.summaries_due(start + WINDOW, false);
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].entry.data, json!({ "repeated": 1000 }));
        assert_eq!(count("a", start + WINDOW), 1, "the next window has its own count");
    }

    #[test]
    fn different_refusals_write_a_bounded_number_of_rows() {
        let (log, start) = (RefusalLog::default(), Instant::now());
        let written: usize = (0..100_000)
            .map(|n| n.to_string())
            .map(|key| log.count(Refused::UnknownPrincipal, key.clone(), row(&key), start).len())
            .sum();
        assert_eq!(written, MAX_ROWS);
        assert_eq!(
            log.count(Refused::Binding, "x".into(), row("x"), start).len(),
            1,
            "kinds are counted separately"
        );
        let due = log.summaries_due(start, true);
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].entry.data, json!({ "others": 100_000 - MAX_ROWS }));
    }
}
