//! Election of the scheduler that runs the steps which cost GitHub requests: a lease in the database, timed by the
//! database's clock.
//!
//! The holder trusts the lease for 7 of its 9 s, measured on its own monotonic clock from before the renewal was sent.
//! Two leaders can overlap only if a clock drifts by more than 2 s; the steps' database constraints hold even then.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;
use store::Store;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::{Parts, StepError};

/// Name of the only lease.
pub const LEASE_NAME: &str = "scheduler";
/// Duration of a lease. With one renewal interval more, the longest time without a leader.
const LEASE_TTL: Duration = Duration::from_secs(9);
/// Time before the lease's end from which the holder no longer trusts it.
const TRUST_MARGIN: Duration = Duration::from_secs(2);
/// Interval between renewals, and between attempts to get the lease.
const RENEW_INTERVAL: Duration = Duration::from_secs(2);
/// Time limit for one renewal.
const RENEW_TIMEOUT: Duration = Duration::from_secs(2);

/// Leadership of this scheduler; clones share it.
#[derive(Clone, Debug)]
pub struct Leadership {
    holder: Arc<str>,
    trusted: Arc<Mutex<Option<Instant>>>,
}

impl Leadership {
    /// Returns a leadership that is not held. `name` says where this scheduler runs; a random suffix makes it unique.
    pub fn new(name: &str) -> Self {
        let random = uuid::Uuid::new_v4().simple().to_string();
        Self { holder: format!("{name}.{}", &random[..8]).into(), trusted: Arc::default() }
    }

    /// Returns the name that this scheduler takes the lease under.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Returns whether this scheduler holds a lease that it still trusts.
    pub fn leads(&self) -> bool {
        let until = *self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn set_trusted_until(&self, until: Option<Instant>) {
        *self.trusted.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Takes the lease if it is free, or renews it. Returns whether this scheduler holds it. While the database is
    /// unavailable, a trusted lease stays trusted until its end.
    ///
    /// # Errors
    /// Returns the database's error.
    pub async fn acquire(&self, store: &Store) -> Result<bool, StepError> {
        let asked = Instant::now();
        let life = TimeDelta::from_std(LEASE_TTL).unwrap_or(TimeDelta::zero());
        let term = store.conn().await?.leases().acquire(LEASE_NAME, &self.holder, life).await?;
        let led = self.leads();
        self.set_trusted_until(term.map(|_| asked + LEASE_TTL - TRUST_MARGIN));
        match term {
            Some(term) if !led => tracing::info!(holder = %self.holder, term, "this scheduler leads"),
            None if led => tracing::warn!(holder = %self.holder, "another scheduler leads"),
            _ => {}
        }
        Ok(term.is_some())
    }
}

/// Reports in Redis that this scheduler leads, so that `rts doctor` sees a second database on the same keys. Returns 1.
///
/// # Errors
/// Redis cannot be reached.
pub async fn report(parts: Parts, leadership: Leadership) -> Result<u64, StepError> {
    parts.queue.report_leader(leadership.holder()).await?;
    Ok(1)
}

/// Takes or renews the lease until draining, then gives it up.
pub(crate) async fn run(
    parts: Parts,
    leadership: Leadership,
    draining: CancellationToken,
) -> Result<(), Infallible> {
    let handle = parts.progress.register("lead", RENEW_INTERVAL * 3 + RENEW_TIMEOUT * 2);
    let mut ticks = interval(RENEW_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = draining.cancelled() => break,
        }
        match timeout(RENEW_TIMEOUT, leadership.acquire(&parts.store)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the leader lease could not be renewed"),
            Err(_) => tracing::warn!("the leader lease could not be renewed in time"),
        }
        metrics::gauge!("rts_scheduler_leads").set(u8::from(leadership.leads()));
        handle.tick();
    }
    if leadership.leads() {
        leadership.set_trusted_until(None);
        let given =
            async { parts.store.conn().await?.leases().release(LEASE_NAME, leadership.holder()).await };
        if !matches!(timeout(RENEW_TIMEOUT, given).await, Ok(Ok(()))) {
            tracing::warn!("the leader lease could not be given up; it ends by itself");
        }
    }
    handle.retire();
    Ok(())
}
