//! Waiting for what must come, and for nothing else.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Longest wait for anything.
const BOUND: Duration = Duration::from_secs(15);
/// Between two looks.
const STEP: Duration = Duration::from_millis(20);

/// Looks again and again until there is something, 15 s at most.
///
/// # Panics
/// With `what`, when it does not come.
pub async fn eventually<T, F, Fut>(what: &str, look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    eventually_within(BOUND, what, look).await
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
        sleep(STEP).await;
    }
}

/// [`eventually`] for a condition.
///
/// # Panics
/// With `what`, when it does not come true.
pub async fn holds<F, Fut>(what: &str, mut look: F)
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
