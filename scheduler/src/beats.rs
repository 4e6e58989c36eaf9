//! Taking a step again and again.

use std::{convert::Infallible, time::Duration};

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::{Lead, Parts, StepError};

/// Longest time one step may take.
pub(crate) const STEP: Duration = Duration::from_secs(30);

/// Takes `step` every `period` until draining. A step that fails or takes too long is logged and counted; the next tick
/// takes it again.
pub(crate) async fn every<F>(
    period: Duration,
    name: &'static str,
    (parts, draining): (Parts, CancellationToken),
    step: impl Fn(Parts) -> F,
) -> Result<(), Infallible>
where
    F: Future<Output = Result<u64, StepError>>,
{
    let beat = parts.progress.register(name, period * 3 + STEP * 2);
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = draining.cancelled() => break,
        }
        take(name, step(parts.clone())).await;
        beat.tick();
    }
    beat.retire();
    Ok(())
}

/// The same, but only while this scheduler leads.
pub(crate) async fn every_led<F>(
    period: Duration,
    name: &'static str,
    (parts, draining, lead): (Parts, CancellationToken, Lead),
    step: impl Fn(Parts) -> F,
) -> Result<(), Infallible>
where
    F: Future<Output = Result<u64, StepError>>,
{
    let if_leading = |parts: Parts| {
        let begun = lead.leads().then(|| step(parts));
        async {
            match begun {
                Some(begun) => begun.await,
                None => Ok(0),
            }
        }
    };
    every(period, name, (parts, draining), if_leading).await
}

/// Takes one step within its time, and notes how it went. Answers what it did.
pub(crate) async fn take(
    name: &'static str,
    step: impl Future<Output = Result<u64, StepError>>,
) -> Option<u64> {
    take_within(STEP, name, step).await
}

/// The same with a time of its own.
pub(crate) async fn take_within(
    most: Duration,
    name: &'static str,
    step: impl Future<Output = Result<u64, StepError>>,
) -> Option<u64> {
    let outcome = timeout(most, step).await;
    match outcome {
        Ok(Ok(done)) => {
            metrics::counter!("rts_scheduler_done_total", "step" => name).increment(done);
            metrics::gauge!("rts_scheduler_last_success_seconds", "step" => name).set(epoch_seconds());
            if done > 0 {
                tracing::info!(step = name, done, "step taken");
            }
            return Some(done);
        }
        Ok(Err(error)) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(step = name, %error, cause, "a step failed; the next tick takes it again");
        }
        Err(_) => tracing::warn!(step = name, "a step took too long; the next tick takes it again"),
    }
    metrics::counter!("rts_scheduler_failures_total", "step" => name).increment(1);
    None
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit a float for a very long time")]
fn epoch_seconds() -> f64 {
    runtime::Clock::System.now().timestamp() as f64
}
