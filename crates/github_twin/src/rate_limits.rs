//! Counters of the rate limits, on the twin's clock.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    clock::seconds_until,
    ledger::ViolationKind,
    limits::{Bucket, Limits},
};

/// Party whose limits a request counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    Installation(u64),
    /// The owner of a personal access token, by its index in the configuration.
    Person(usize),
    /// An App itself, by its id.
    App(u64),
    Anonymous,
}

impl Owner {
    pub(crate) fn installation(self) -> Option<u64> {
        if let Self::Installation(id) = self { Some(id) } else { None }
    }

    pub(crate) fn app(self) -> Option<u64> {
        if let Self::App(id) = self { Some(id) } else { None }
    }
}

/// Properties of a request that the limits depend on.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) owner: Owner,
    pub(crate) resource: String,
    pub(crate) operation: String,
    pub(crate) method: String,
    /// Scope whose registration limit the request counts for.
    pub(crate) registers: Option<String>,
    /// Whether the request costs nothing of the primary window.
    pub(crate) free: bool,
}

/// A refusal by a limit.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) primary: bool,
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
    pub(crate) violation: Option<(ViolationKind, String)>,
}

#[derive(Clone, Debug)]
struct Window {
    start: DateTime<Utc>,
    used: u32,
    exhausted_since: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug)]
struct Pause {
    until: DateTime<Utc>,
    reported_at: DateTime<Utc>,
    status: u16,
    header: bool,
}

/// The counters of all limits.
#[derive(Clone, Debug)]
pub(crate) struct RateLimits {
    pub(crate) limits: Limits,
    primary: HashMap<(Owner, String), Window>,
    others: HashMap<(Owner, String), Window>,
    pauses: HashMap<Owner, Pause>,
    in_flight: HashMap<Owner, u32>,
}

impl RateLimits {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            primary: HashMap::new(),
            others: HashMap::new(),
            pauses: HashMap::new(),
            in_flight: HashMap::new(),
        }
    }

    pub(crate) fn enter(&mut self, owner: Owner) -> u32 {
        let n = self.in_flight.entry(owner).or_default();
        *n += 1;
        *n
    }

    pub(crate) fn leave(&mut self, owner: Owner) {
        if let Some(n) = self.in_flight.get_mut(&owner) {
            *n = n.saturating_sub(1);
        }
    }

    /// Charges an admissible request; a refused one costs nothing.
    pub(crate) fn admit(&mut self, ask: &Ask, now: DateTime<Utc>) -> Result<(), Refusal> {
        self.check_pause(ask.owner, now)?;
        self.check_primary(ask, now)?;
        self.check_concurrency(ask.owner, now)?;
        self.check_others(ask, now)?;
        if !ask.free {
            self.primary_window(ask.owner, &ask.resource, now).used += 1;
        }
        Ok(())
    }

    /// Returns one charged request: a 304 costs nothing.
    pub(crate) fn refund(&mut self, ask: &Ask, now: DateTime<Utc>) {
        if !ask.free {
            let window = self.primary_window(ask.owner, &ask.resource, now);
            window.used = window.used.saturating_sub(1);
        }
    }

    fn check_pause(&mut self, owner: Owner, now: DateTime<Utc>) -> Result<(), Refusal> {
        let Some(pause) = self.pauses.get(&owner) else { return Ok(()) };
        if now >= pause.until {
            self.pauses.remove(&owner);
            return Ok(());
        }
        let left = seconds_until(pause.until, now);
        let late = now > pause.reported_at + self.limits.grace();
        let detail = || (ViolationKind::InsidePause, format!("{left} s of the pause were left"));
        Err(Refusal {
            primary: false,
            status: pause.status,
            retry_after: pause.header.then_some(left),
            violation: late.then(detail),
        })
    }

    fn check_primary(&mut self, ask: &Ask, now: DateTime<Utc>) -> Result<(), Refusal> {
        let Some(limit) = self.primary_limit(ask.owner).filter(|_| !ask.free) else { return Ok(()) };
        let (grace, status) = (self.limits.grace(), self.limits.status);
        let window = self.primary_window(ask.owner, &ask.resource, now);
        if window.used < limit {
            return Ok(());
        }
        let late = window.exhausted_since.is_some_and(|told| now > told + grace);
        let detail = || (ViolationKind::WindowExhausted, format!("nothing left of {}", ask.resource));
        Err(Refusal { primary: true, status, retry_after: None, violation: late.then(detail) })
    }

    fn check_concurrency(&mut self, owner: Owner, now: DateTime<Utc>) -> Result<(), Refusal> {
        let running = self.in_flight.get(&owner).copied().unwrap_or(0);
        match self.limits.concurrency {
            Some(max) if running > max => {
                let detail = format!("{running} requests at once");
                let violation = Some((ViolationKind::ConcurrencyExceeded, detail));
                Err(Refusal { violation, ..self.secondary(owner, 60, now) })
            }
            _ => Ok(()),
        }
    }

    fn check_others(&mut self, ask: &Ask, now: DateTime<Utc>) -> Result<(), Refusal> {
        let write = !matches!(ask.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        let mut charges = Vec::with_capacity(3);
        if let Some(bucket) = self.limits.points {
            let cost = if write { 5 } else { 1 };
            charges.push((bucket, cost, ask.operation.clone(), ViolationKind::PointsExceeded));
        }
        if let (Some(bucket), Some(scope)) = (self.limits.registrations, &ask.registers) {
            charges.push((bucket, 1, format!("register {scope}"), ViolationKind::RegistrationsExceeded));
        }
        // GitHub counts the registrations of a scope whichever App sends them.
        let payer = |kind: ViolationKind| {
            if kind == ViolationKind::RegistrationsExceeded { Owner::Anonymous } else { ask.owner }
        };
        if let Some(bucket) = self.limits.content.filter(|_| ask.method == "POST") {
            charges.push((bucket, 1, "content".to_owned(), ViolationKind::ContentExceeded));
        }
        for (bucket, cost, name, kind) in &charges {
            let window = self.other_window(payer(*kind), name, *bucket, now);
            if window.used + cost > bucket.limit {
                let wait = seconds_until(window.start + bucket.window(), now);
                let violation = Some((*kind, name.clone()));
                return Err(Refusal { violation, ..self.secondary(ask.owner, wait, now) });
            }
        }
        for (bucket, cost, name, kind) in &charges {
            self.other_window(payer(*kind), name, *bucket, now).used += cost;
        }
        Ok(())
    }

    fn secondary(&mut self, owner: Owner, wait: u64, now: DateTime<Utc>) -> Refusal {
        let (status, header) = (self.limits.status, self.limits.send_retry_after);
        self.pause(owner, status, header.then_some(wait), now)
    }

    /// Starts a pause for the time in the header, or for 60 s without one.
    pub(crate) fn pause(
        &mut self,
        owner: Owner,
        status: u16,
        retry_after: Option<u64>,
        now: DateTime<Utc>,
    ) -> Refusal {
        let wait = i64::try_from(retry_after.unwrap_or(60)).unwrap_or(60).min(86_400);
        let until = now + TimeDelta::seconds(wait);
        self.pauses.insert(owner, Pause { until, reported_at: now, status, header: retry_after.is_some() });
        Refusal { primary: false, status, retry_after, violation: None }
    }

    /// Exhausts a primary window.
    pub(crate) fn exhaust(
        &mut self,
        ask: &Ask,
        status: u16,
        reset_in: Option<u64>,
        now: DateTime<Utc>,
    ) -> Refusal {
        let length = self.limits.primary.map_or(TimeDelta::hours(1), Bucket::window);
        let window = self.primary_window(ask.owner, &ask.resource, now);
        window.used = u32::MAX;
        window.exhausted_since = Some(now);
        if let Some(s) = reset_in {
            window.start = now + TimeDelta::seconds(i64::try_from(s).unwrap_or(3600).min(86_400)) - length;
        }
        Refusal { primary: true, status, retry_after: None, violation: None }
    }

    fn primary_limit(&self, owner: Owner) -> Option<u32> {
        let bucket = self.limits.primary?;
        Some(if owner == Owner::Anonymous { bucket.limit.min(60) } else { bucket.limit })
    }

    fn primary_window(&mut self, owner: Owner, resource: &str, now: DateTime<Utc>) -> &mut Window {
        let length = self.limits.primary.map_or(TimeDelta::hours(1), Bucket::window);
        current_window(&mut self.primary, (owner, resource.to_owned()), length, now)
    }

    fn other_window(&mut self, owner: Owner, name: &str, bucket: Bucket, now: DateTime<Utc>) -> &mut Window {
        current_window(&mut self.others, (owner, name.to_owned()), bucket.window(), now)
    }

    /// Returns `(limit, remaining, used, reset)` of a resource, or `None` while limits are off.
    pub(crate) fn view(&mut self, owner: Owner, resource: &str, now: DateTime<Utc>) -> Option<[u64; 4]> {
        let limit = self.primary_limit(owner)?;
        let length = self.limits.primary.map_or(TimeDelta::hours(1), Bucket::window);
        let window = self.primary_window(owner, resource, now);
        let used = window.used.min(limit);
        let reset = u64::try_from((window.start + length).timestamp()).unwrap_or(0) + 1;
        Some([u64::from(limit), u64::from(limit - used), u64::from(used), reset])
    }

    /// Returns the headers of a response and records when they first report an exhausted window.
    pub(crate) fn headers(
        &mut self,
        owner: Owner,
        resource: &str,
        now: DateTime<Utc>,
    ) -> Vec<(&'static str, String)> {
        if !self.limits.headers {
            return Vec::new();
        }
        let Some([limit, remaining, used, reset]) = self.view(owner, resource, now) else {
            return Vec::new();
        };
        if remaining == 0 {
            self.primary_window(owner, resource, now).exhausted_since.get_or_insert(now);
        }
        vec![
            ("x-ratelimit-limit", limit.to_string()),
            ("x-ratelimit-remaining", remaining.to_string()),
            ("x-ratelimit-used", used.to_string()),
            ("x-ratelimit-reset", reset.to_string()),
            ("x-ratelimit-resource", resource.to_owned()),
        ]
    }
}

/// Returns the current window of `key`, a new one if it has ended. The map holds at most 10,000 live windows.
fn current_window(
    map: &mut HashMap<(Owner, String), Window>,
    key: (Owner, String),
    length: TimeDelta,
    now: DateTime<Utc>,
) -> &mut Window {
    if map.len() >= 10_000 && !map.contains_key(&key) {
        map.retain(|_, w| now < w.start + length);
        if map.len() >= 10_000 {
            map.clear();
        }
    }
    let fresh = || Window { start: now, used: 0, exhausted_since: None };
    let window = map.entry(key).or_insert_with(fresh);
    if now >= window.start + length {
        *window = fresh();
    }
    window
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: &str) -> Ask {
        Ask {
            owner: Owner::Installation(1),
            resource: "core".into(),
            operation: format!("{method} /x"),
            method: method.into(),
            registers: None,
            free: false,
        }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn primary_window_ends_and_starts_anew() {
        let limits = Limits { primary: Some(Bucket::new(2, 60)), ..Limits::github() };
        let mut meter = RateLimits::new(limits);
        assert!(meter.admit(&ask("GET"), at(0)).is_ok());
        assert!(meter.admit(&ask("GET"), at(1)).is_ok());
        assert_eq!(meter.headers(Owner::Installation(1), "core", at(1))[1].1, "0");
        let refused = meter.admit(&ask("GET"), at(2)).unwrap_err();
        assert!(refused.primary);
        assert_eq!(refused.violation.unwrap().0, ViolationKind::WindowExhausted);
        assert!(meter.admit(&ask("GET"), at(60)).is_ok());
    }

    #[test]
    fn writes_cost_five_points_and_a_pause_follows() {
        let limits = Limits { points: Some(Bucket::new(10, 60)), ..Limits::github() };
        let mut meter = RateLimits::new(limits);
        assert!(meter.admit(&ask("POST"), at(0)).is_ok());
        assert!(meter.admit(&ask("POST"), at(0)).is_ok());
        let refused = meter.admit(&ask("POST"), at(10)).unwrap_err();
        assert_eq!(refused.retry_after, Some(50));
        let again = meter.admit(&ask("GET"), at(20)).unwrap_err();
        assert_eq!(again.violation.unwrap().0, ViolationKind::InsidePause);
        assert!(meter.admit(&ask("POST"), at(60)).is_ok());
    }

    #[test]
    fn request_in_flight_at_a_limit_is_no_violation() {
        let mut meter = RateLimits::new(Limits::github());
        meter.pause(Owner::Installation(1), 429, Some(5), at(0));
        assert!(meter.admit(&ask("GET"), at(0)).unwrap_err().violation.is_none());
        assert!(meter.admit(&ask("GET"), at(1)).unwrap_err().violation.is_some());
    }
}
