//! Waiting for a condition, with a bound that a busy machine can keep.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Longest wait for a condition. It costs nothing when the condition comes true, and a machine that is busy with
/// other work needs most of it.
const MAX_WAIT: Duration = Duration::from_mins(2);
/// Between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Returns what `look` finds, asked again and again for up to two minutes.
///
/// # Panics
/// With `what`, when it does not come.
pub async fn eventually<T, F, Fut>(what: &str, look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    eventually_within(MAX_WAIT, what, look).await
}

/// The same with a bound of its own.
///
/// # Panics
/// With `what`, when it does not come.
pub async fn eventually_within<T, F, Fut>(bound: Duration, what: &str, mut look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let end = Instant::now() + bound;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "did not happen within {bound:?}: {what}");
        sleep(POLL_INTERVAL).await;
    }
}

/// [`eventually`] for a condition.
///
/// # Panics
/// With `what`, when it does not come true.
pub async fn wait_until<F, Fut>(what: &str, mut look: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let mut look = || {
        let looked = look();
        async move { looked.await.then_some(()) }
    };
    eventually(what, &mut look).await;
}
