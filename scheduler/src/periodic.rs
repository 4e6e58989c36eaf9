//! Loops that run a step at an interval, with a time limit, metrics and logs for each run.

use std::{convert::Infallible, time::Duration};

use domain::InstallationId;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::{Leadership, Parts, StepError};

/// Gauge with the time of the last success of a step, or of a step for one installation.
const LAST_SUCCESS: &str = "rts_scheduler_last_success_seconds";

/// Time limit for one step.
pub(crate) const MAX_STEP_TIME: Duration = Duration::from_secs(30);

/// Name and interval of a step, the parts it uses, and the token that ends its loop.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) name: &'static str,
    pub(crate) period: Duration,
    pub(crate) parts: Parts,
    pub(crate) draining: CancellationToken,
}

/// Rules of a loop.
#[derive(Clone, Copy, Debug)]
struct LoopRules {
    /// Units of work after which a run is followed by another one at once.
    full: u64,
    /// Whether the loop records the success of its step. Otherwise the step records it for each installation.
    records_success: bool,
    /// Whether only the leading scheduler runs the step.
    is_led: bool,
}

impl LoopRules {
    const DEFAULT: Self = Self { full: u64::MAX, records_success: true, is_led: false };
}

/// Runs `step` at its interval until draining. A step that fails or takes too long is logged and counted; the next tick
/// runs it again.
pub(crate) async fn run_every<F>(schedule: Schedule, step: impl Fn(Parts) -> F) -> Result<(), Infallible>
where
    F: Future<Output = Result<u64, StepError>>,
{
    run_loop(schedule, LoopRules::DEFAULT, |parts| Some(step(parts))).await
}

/// Runs `step` at its interval until draining, and again at once after a run that did at least `full` units of work.
pub(crate) async fn drain_every<F>(
    schedule: Schedule,
    full: u64,
    step: impl Fn(Parts) -> F,
) -> Result<(), Infallible>
where
    F: Future<Output = Result<u64, StepError>>,
{
    run_loop(schedule, LoopRules { full, ..LoopRules::DEFAULT }, |parts| Some(step(parts))).await
}

/// Runs `step` at its interval until draining. The step itself records the installations for which it succeeded.
pub(crate) async fn run_every_for_each<F>(
    schedule: Schedule,
    step: impl Fn(Parts) -> F,
) -> Result<(), Infallible>
where
    F: Future<Output = Result<u64, StepError>>,
{
    run_loop(schedule, LoopRules { records_success: false, ..LoopRules::DEFAULT }, |parts| Some(step(parts)))
        .await
}

/// Runs `step` at its interval until draining, but only while this scheduler leads. Other schedulers report no success
/// of the step.
pub(crate) async fn run_every_as_leader<F>(
    schedule: Schedule,
    leadership: Leadership,
    step: impl Fn(Parts) -> F,
) -> Result<(), Infallible>
where
    F: Future<Output = Result<u64, StepError>>,
{
    let rules = LoopRules { is_led: true, ..LoopRules::DEFAULT };
    run_loop(schedule, rules, |parts| leadership.leads().then(|| step(parts))).await
}

/// Starts a run at each tick until draining, and further runs at once while they are full. `start` returns `None` for
/// no run.
async fn run_loop<F>(
    schedule: Schedule,
    rules: LoopRules,
    start: impl Fn(Parts) -> Option<F>,
) -> Result<(), Infallible>
where
    F: Future<Output = Result<u64, StepError>>,
{
    let Schedule { name, period, parts, draining } = schedule;
    let handle = parts.progress.register(name, period * 3 + MAX_STEP_TIME * 2);
    parts.steps.register(name, period, rules.is_led);
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = draining.cancelled() => break,
        }
        while let Some(run) = start(parts.clone()) {
            let done = if rules.records_success {
                run_step(name, run).await
            } else {
                run_step_within(MAX_STEP_TIME, name, run).await
            };
            parts.steps.record(name, done.is_some());
            handle.tick();
            if done.is_none_or(|done| done < rules.full) || draining.is_cancelled() {
                break;
            }
        }
        handle.tick();
    }
    handle.retire();
    Ok(())
}

/// Runs one step within the time limit and records its success. Returns the work it did, or `None` if it failed.
pub(crate) async fn run_step(
    name: &'static str,
    step: impl Future<Output = Result<u64, StepError>>,
) -> Option<u64> {
    let done = run_step_within(MAX_STEP_TIME, name, step).await?;
    metrics::gauge!(LAST_SUCCESS, "step" => name).set(epoch_seconds());
    Some(done)
}

/// Records that a step succeeded for one installation.
pub(crate) fn record_success(name: &'static str, installation: &InstallationId) {
    let labels = [("step", name.to_owned()), ("installation", installation.to_string())];
    metrics::gauge!(LAST_SUCCESS, &labels).set(epoch_seconds());
}

/// Runs one step within `limit` without recording its success. Returns the work it did, or `None` if it failed.
pub(crate) async fn run_step_within(
    limit: Duration,
    name: &'static str,
    step: impl Future<Output = Result<u64, StepError>>,
) -> Option<u64> {
    let outcome = timeout(limit, step).await;
    match outcome {
        Ok(Ok(done)) => {
            metrics::counter!("rts_scheduler_done_total", "step" => name).increment(done);
            if done > 0 {
                tracing::info!(step = name, done, "step done");
            }
            return Some(done);
        }
        Ok(Err(error)) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(step = name, %error, cause, "a step failed; the next tick runs it again");
        }
        Err(_) => tracing::warn!(step = name, "a step took too long; the next tick runs it again"),
    }
    metrics::counter!("rts_scheduler_failures_total", "step" => name).increment(1);
    None
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit a float for a very long time")]
fn epoch_seconds() -> f64 {
    runtime::Clock::System.now().timestamp() as f64
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use domain::{KeyRing, Secret};
    use installations::Installations;
    use queue::{Queue, QueueConfig};
    use runtime::{config::LabelEnforcement, health::LoopMonitor, telemetry::Metrics};
    use store::Store;
    use zeroize::Zeroizing;

    use super::*;

    /// Returns parts whose servers do not exist; a step that uses no server works with them.
    fn parts() -> Parts {
        let queue = Queue::connect(&QueueConfig::new("redis://127.0.0.1:1", "beats".to_owned())).unwrap();
        let keys = KeyRing::new(&[("test".to_owned(), Zeroizing::new((0..32).collect()))]).unwrap();
        Parts {
            store: Store::new(&Secret::new("postgres://none@127.0.0.1:1/none"), 1).unwrap(),
            installations: Installations::new(&queue, &keys, Vec::new()).unwrap(),
            queue,
            audit_keys: None,
            event_sinks: crate::events::EventSinks::none(),
            enforcement: LabelEnforcement::Audit,
            default_groups: std::collections::BTreeMap::new(),
            registration_tokens: false,
            sync: crate::SyncSettings::default(),
            steps: crate::StepReports::default(),
            progress: LoopMonitor::new(),
        }
    }

    #[tokio::test]
    async fn full_step_is_repeated_at_once() {
        let (draining, left) = (CancellationToken::new(), AtomicU64::new(7));
        // The next tick would come after an hour.
        let period = Duration::from_hours(1);
        let schedule = Schedule { name: "full", period, parts: parts(), draining: draining.clone() };
        let run = drain_every(schedule, 3, |_| {
            let done = left.load(Relaxed).min(3);
            if left.fetch_sub(done, Relaxed) == done {
                draining.cancel();
            }
            async move { Ok(done) }
        });
        run.await.unwrap();
        assert_eq!(left.load(Relaxed), 0);
    }

    #[tokio::test]
    async fn followers_do_not_report_step_success() {
        let (recorder, metrics) = Metrics::local().unwrap();
        let _installed = metrics::set_default_local_recorder(&recorder);
        let draining = CancellationToken::new();
        let taken = AtomicU64::new(0);
        let period = Duration::from_millis(1);
        let schedule = Schedule { name: "led", period, parts: parts(), draining: draining.clone() };
        let run = run_every_as_leader(schedule, Leadership::new("test"), |_| {
            taken.fetch_add(1, Relaxed);
            async { Ok(1) }
        });
        let ticked = async {
            // Lets the other loop tick a few times.
            let mut ticks = interval(Duration::from_millis(1));
            for _ in 0..5 {
                ticks.tick().await;
            }
            draining.cancel();
        };
        let (ran, ()) = tokio::join!(run, ticked);
        ran.unwrap();
        assert_eq!((taken.load(Relaxed), metrics.render().contains(LAST_SUCCESS)), (0, false));
    }

    #[tokio::test]
    async fn only_successful_steps_report_success() {
        let (recorder, metrics) = Metrics::local().unwrap();
        let _installed = metrics::set_default_local_recorder(&recorder);
        let reported = |label: &str| {
            let mut lines = metrics.render();
            lines.retain(|c| c != '"');
            lines.lines().any(|line| line.starts_with(LAST_SUCCESS) && line.contains(label))
        };
        assert_eq!(run_step("done", async { Ok(2) }).await, Some(2));
        assert_eq!(run_step("failed", async { Err(StepError::Incomplete) }).await, None);
        assert_eq!(run_step_within(Duration::ZERO, "late", std::future::pending()).await, None);
        assert_eq!(run_step_within(MAX_STEP_TIME, "of_its_own", async { Ok(1) }).await, Some(1));
        record_success("of_its_own", &"games".parse().unwrap());
        assert!(reported("step=done") && !reported("step=failed") && !reported("step=late"));
        assert!(reported("installation=games") && !reported("{step=of_its_own}"));
        assert!(metrics.render().contains("rts_scheduler_failures_total{step=\"failed\"} 1"));
    }
}
