//! Waits for a condition, bounded generously enough for a busy machine.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Longest wait for a condition. A passing test returns as soon as the condition holds; a busy machine may need most of
/// this time.
const MAX_WAIT: Duration = Duration::from_mins(2);
/// Time between two checks.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Calls `look` until it returns a value, for up to two minutes, and returns that value.
///
/// # Panics
/// With `what` in the message, when the time is over.
pub async fn eventually<T, F, Fut>(what: &str, look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    eventually_within(MAX_WAIT, what, look).await
}

/// Calls `look` until it returns a value, for up to `bound`, and returns that value.
///
/// # Panics
/// With `what` in the message, when the time is over.
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

/// Waits until `look` returns true, for up to two minutes.
///
/// # Panics
/// With `what` in the message, when the time is over.
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
