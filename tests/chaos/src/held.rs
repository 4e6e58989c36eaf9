//! When nothing could go on: GitHub made everybody wait, or a store was away.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use queue::{Scope, Spine};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// From when until when.
pub(crate) type Span = (Instant, Instant);

/// Looks at the pauses until dropped.
pub(crate) struct Held {
    spans: Arc<Mutex<Vec<Span>>>,
    task: JoinHandle<()>,
}

impl Held {
    pub(crate) fn start(spine: Spine) -> Self {
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let task = tokio::spawn(keep_looking(spine, spans.clone()));
        Self { spans, task }
    }

    /// Times of a pause so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_looking(spine: Spine, spans: Arc<Mutex<Vec<Span>>>) {
    loop {
        let from = Instant::now();
        // Redis is away: then nobody knows of a pause.
        let pauses = timeout(Duration::from_secs(1), spine.pauses()).await;
        let whole = |scope: &Scope| matches!(scope, Scope::Installation(_));
        if let Ok(Ok(pauses)) = pauses
            && let Some(left) = pauses.iter().filter(|one| whole(&one.scope)).map(|one| one.pause.left).max()
        {
            spans.lock().unwrap_or_else(PoisonError::into_inner).push((from, from + left.min(LOOK * 2)));
        }
        sleep(LOOK).await;
    }
}

/// The time between two moments that lies in none of the spans.
pub(crate) fn outside(spans: &[Span], (from, until): Span) -> Duration {
    let mut inside: Vec<Span> = spans
        .iter()
        .map(|(begin, end)| ((*begin).max(from), (*end).min(until)))
        .filter(|(begin, end)| begin < end)
        .collect();
    inside.sort_unstable();
    let (mut free, mut at) = (Duration::ZERO, from);
    for (begin, end) in inside {
        free += begin.saturating_duration_since(at);
        at = at.max(end);
    }
    free + until.saturating_duration_since(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outside_overlapping_spans_is_counted_once() {
        let zero = Instant::now();
        let at = |seconds| zero + Duration::from_secs(seconds);
        let spans = [(at(5), at(7)), (at(0), at(2)), (at(6), at(8)), (at(20), at(30))];
        assert_eq!(outside(&spans, (at(1), at(10))), Duration::from_secs(5));
        assert_eq!(outside(&[], (at(1), at(10))), Duration::from_secs(9));
        assert_eq!(outside(&spans, (at(21), at(22))), Duration::ZERO);
    }
}
