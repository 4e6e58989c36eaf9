//! Delivery of audit rows and security events to operators' sinks by signed webhook (docs/decisions/0085). Writers are
//! not involved: the step reads rows that are final, in the order of the audit chains.

mod message;
mod put_aside;
mod sender;
mod stream;

use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use domain::{AuditChain, WebhookKey};
use futures::future::join_all;
use runtime::config::{EventSinkConfig, EventSinksConfig, OutgoingConfig};
use tokio::time::Instant;

use self::{put_aside::SecondDeliveries, sender::Sender, stream::Stream};
use crate::{Parts, StepError};

/// Time after which a step starts no further delivery; with a delivery's time limit less than a step's.
const MAX_DURATION: Duration = Duration::from_secs(15);
/// Most put-aside events that one step deletes.
const MAX_FORGOTTEN: i64 = 1000;
/// Time for which put-aside events are kept.
const KEEP_PUT_ASIDE: TimeDelta = TimeDelta::days(30);

/// Limits of deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryLimits {
    /// Pause after the first failure of an event; it doubles with each one.
    pub first_pause: Duration,
    /// Longest pause.
    pub max_pause: Duration,
    /// Refusals of an event after which it is put aside.
    pub max_refusals: i32,
    /// Time for which a sink may be away before its next event is put aside.
    pub max_absence: TimeDelta,
    /// Time limit of one request.
    pub request_timeout: Duration,
}

impl Default for DeliveryLimits {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_secs(5),
            max_pause: Duration::from_mins(15),
            max_refusals: 10,
            max_absence: TimeDelta::days(3),
            request_timeout: Duration::from_secs(10),
        }
    }
}

impl DeliveryLimits {
    /// Returns the pause after the `failures`-th failure, ± 20 %. `jitter` is a random number in `0.0..1.0`.
    fn pause(&self, failures: i32, jitter: f64) -> TimeDelta {
        let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or_default().min(20);
        let pause = self.first_pause.saturating_mul(1 << doublings).min(self.max_pause);
        TimeDelta::from_std(pause.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0))).unwrap_or(TimeDelta::MAX)
    }
}

/// All sinks and the client that sends to them. Clones share them.
#[derive(Clone)]
pub struct EventSinks(Arc<Inner>);

struct Inner {
    config: EventSinksConfig,
    limits: DeliveryLimits,
    sender: Option<Sender>,
}

impl fmt::Debug for EventSinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventSinks").field(&self.0.config).finish()
    }
}

impl EventSinks {
    /// Returns no sinks: no event is sent.
    pub fn none() -> Self {
        let config = EventSinksConfig { sinks: Vec::new(), source: String::new() };
        Self(Arc::new(Inner { config, limits: DeliveryLimits::default(), sender: None }))
    }

    /// Returns these sinks, reached with the certificates and the proxy of `outgoing`.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn new(
        config: EventSinksConfig,
        limits: DeliveryLimits,
        outgoing: &OutgoingConfig,
    ) -> Result<Self, reqwest::Error> {
        let sender = Some(Sender::new(outgoing, limits.request_timeout)?);
        Ok(Self(Arc::new(Inner { config, limits, sender })))
    }
}

/// Delivers events to all sinks, each on its own. Returns the number of deliveries.
///
/// # Errors
/// The first error of a sink, after the others are done.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let sinks = parts.event_sinks.clone();
    let Some(sender) = &sinks.0.sender else { return Ok(0) };
    if sinks.0.config.sinks.is_empty() {
        return Ok(0);
    }
    let now = parts.store.now().await?;
    let begun = Instant::now();
    let turns = sinks.0.config.sinks.iter().map(|sink| async {
        let turn = SinkTurn {
            parts: &parts,
            sink,
            sender,
            source: &sinks.0.config.source,
            limits: &sinks.0.limits,
            keys: sink.keys().unwrap_or_default(),
            begun,
            now,
        };
        turn.run().await
    });
    let mut delivered = 0;
    let mut failure = None;
    for result in join_all(turns).await {
        match result {
            Ok(count) => delivered += count,
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    show_dead(&parts, &sinks.0.config).await?;
    failure.map_or(Ok(delivered), Err)
}

/// Deletes what has been put aside for long, and streams of sinks that are in no settings. Returns the number of rows.
pub async fn forget(parts: Parts) -> Result<u64, StepError> {
    let mut conn = parts.store.conn().await?;
    let forgotten = conn.event_deliveries().forget(KEEP_PUT_ASIDE, MAX_FORGOTTEN).await?;
    Ok(forgotten + conn.event_streams().forget().await?)
}

#[expect(clippy::cast_precision_loss, reason = "a number of rows fits a float")]
async fn show_dead(parts: &Parts, config: &EventSinksConfig) -> Result<(), StepError> {
    let counts = parts.store.conn().await?.event_deliveries().count_dead().await?;
    for sink in &config.sinks {
        let count = counts.iter().find(|(name, _)| *name == sink.name).map_or(0, |(_, count)| *count);
        metrics::gauge!("rts_event_deliveries_dead", "sink" => sink.name.clone()).set(count as f64);
    }
    Ok(())
}

/// One step's work for one sink.
struct SinkTurn<'t> {
    parts: &'t Parts,
    sink: &'t EventSinkConfig,
    sender: &'t Sender,
    source: &'t str,
    limits: &'t DeliveryLimits,
    /// Empty if a key file cannot be read.
    keys: Vec<WebhookKey>,
    begun: Instant,
    /// The database's time at `begun`.
    now: DateTime<Utc>,
}

impl SinkTurn<'_> {
    async fn run(&self) -> Result<u64, StepError> {
        let wanted = AuditChain::ALL.iter().filter(|chain| self.sink.filter.wants(**chain));
        let streams = join_all(wanted.map(|chain| Stream::new(self, *chain).deliver()));
        let (streams, again) = tokio::join!(streams, SecondDeliveries(self).deliver());
        let mut delivered = again?;
        for count in streams {
            delivered += count?;
        }
        Ok(delivered)
    }

    /// Returns the time by the database's clock.
    fn now(&self) -> DateTime<Utc> {
        self.now + self.begun.elapsed()
    }

    fn is_over(&self) -> bool {
        self.begun.elapsed() >= MAX_DURATION
    }

    fn count(&self, outcome: &'static str) {
        let labels = [("sink", self.sink.name.clone()), ("outcome", outcome.to_owned())];
        metrics::counter!("rts_event_deliveries_total", &labels).increment(1);
    }
}

/// Returns a random number in `0.0..1.0`.
fn jitter() -> f64 {
    let random = uuid::Uuid::new_v4().as_u128() & 0xffff_ffff;
    u32::try_from(random).map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let limits = DeliveryLimits::default();
        let seconds = |failures, jitter| limits.pause(failures, jitter).num_seconds();
        assert_eq!([1, 2, 3, 4, 8, 9, 1000].map(|n| seconds(n, 0.5)), [5, 10, 20, 40, 640, 900, 900]);
        assert_eq!([seconds(1, 0.0), seconds(1, 1.0), seconds(99, 1.0)], [4, 6, 1080]);
    }
}
