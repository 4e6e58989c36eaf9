//! Which of several schedulers takes the steps that cost requests to GitHub: a lease in the database, by its clock.
//!
//! Who renewed it trusts it for a little less than it lasts, by its own monotonic clock, counted from before it asked.
//! So two schedulers can both believe to lead only if a clock runs wild, and then the steps' own constraints hold.

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

/// The one lease there is.
pub const LEASE_NAME: &str = "scheduler";
/// How long a lease lasts; with one tick more, the longest time nobody leads.
const LEASE_TTL: Duration = Duration::from_secs(9);
/// How long before its end it is not trusted any more.
const TRUST_MARGIN: Duration = Duration::from_secs(2);
/// How often it is renewed, or asked for.
const RENEW_INTERVAL: Duration = Duration::from_secs(2);
/// Longest time one renewal may take.
const RENEW_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether this scheduler leads. Clones share one answer.
#[derive(Clone, Debug)]
pub struct Leadership {
    holder: Arc<str>,
    trusted: Arc<Mutex<Option<Instant>>>,
}

impl Leadership {
    /// Nobody's yet. `name` says where this scheduler runs; what makes it unique is added here.
    pub fn new(name: &str) -> Self {
        let random = uuid::Uuid::new_v4().simple().to_string();
        Self { holder: format!("{name}.{}", &random[..8]).into(), trusted: Arc::default() }
    }

    /// Who asks for the lease.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Whether the lease is ours, for sure.
    pub fn leads(&self) -> bool {
        let until = *self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn trust(&self, until: Option<Instant>) {
        *self.trusted.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Takes the lease if it is free, or renews it. Answers whether it is ours. While the database does not answer, what
    /// was trusted stays so until its time is over.
    ///
    /// # Errors
    /// The database's.
    pub async fn acquire(&self, store: &Store) -> Result<bool, StepError> {
        let asked = Instant::now();
        let life = TimeDelta::from_std(LEASE_TTL).unwrap_or(TimeDelta::zero());
        let term = store.conn().await?.leases().acquire(LEASE_NAME, &self.holder, life).await?;
        let led = self.leads();
        self.trust(term.map(|_| asked + LEASE_TTL - TRUST_MARGIN));
        match term {
            Some(term) if !led => tracing::info!(holder = %self.holder, term, "this scheduler leads"),
            None if led => tracing::warn!(holder = %self.holder, "another scheduler leads"),
            _ => {}
        }
        Ok(term.is_some())
    }
}

/// Keeps or seeks the lease until draining; then gives it up.
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
            Ok(Err(error)) => tracing::warn!(%error, "the lease could not be renewed"),
            Err(_) => tracing::warn!("the lease could not be renewed in time"),
        }
        metrics::gauge!("rts_scheduler_leads").set(u8::from(leadership.leads()));
        handle.tick();
    }
    if leadership.leads() {
        leadership.trust(None);
        let given =
            async { parts.store.conn().await?.leases().release(LEASE_NAME, leadership.holder()).await };
        if !matches!(timeout(RENEW_TIMEOUT, given).await, Ok(Ok(()))) {
            tracing::warn!("the lease could not be given up; it ends by itself");
        }
    }
    handle.retire();
    Ok(())
}
