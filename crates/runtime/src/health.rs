//! Liveness of a process: a monitor of its loops. A stalled loop makes the process unhealthy.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Registry of all loops of a process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct LoopMonitor(Arc<Mutex<BTreeMap<&'static str, Loop>>>);

#[derive(Clone, Copy, Debug)]
struct Loop {
    last: Instant,
    bound: Duration,
}

/// A loop that has not ticked within its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StalledLoop {
    /// Name of the loop.
    pub name: &'static str,
    /// Time since its last tick.
    pub silent_for: Duration,
    /// Longest permitted time between two ticks.
    pub bound: Duration,
}

impl LoopMonitor {
    /// Returns an empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a loop that must tick at least every `max_silence`.
    ///
    /// A restarted loop that registers again under its name replaces the old entry. Dropping the handle does not
    /// unregister the loop, because a dead loop must be noticed.
    pub fn register(&self, name: &'static str, max_silence: Duration) -> LoopHandle {
        self.lock().insert(name, Loop { last: Instant::now(), bound: max_silence });
        LoopHandle { progress: self.clone(), name }
    }

    /// Returns every stalled loop, by name; an empty list means the process is alive.
    pub fn stalled(&self) -> Vec<StalledLoop> {
        let now = Instant::now();
        let late = |(name, l): (&&'static str, &Loop)| {
            let silent_for = now.saturating_duration_since(l.last);
            (silent_for > l.bound).then_some(StalledLoop { name, silent_for, bound: l.bound })
        };
        self.lock().iter().filter_map(late).collect()
    }

    /// Returns whether every loop ticked within its bound.
    pub fn alive(&self) -> bool {
        self.stalled().is_empty()
    }

    /// Returns the names of all registered loops.
    pub fn names(&self) -> Vec<&'static str> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Loop>> {
        // A poisoned lock is usable: it guards only instants.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handle with which a loop reports that it is running.
#[derive(Clone, Debug)]
pub struct LoopHandle {
    progress: LoopMonitor,
    name: &'static str,
}

impl LoopHandle {
    /// Reports that the loop is running.
    pub fn tick(&self) {
        if let Some(entry) = self.progress.lock().get_mut(self.name) {
            entry.last = Instant::now();
        }
    }

    /// Unregisters a loop that ended on purpose, because it drained.
    pub fn retire(self) {
        self.progress.lock().remove(self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stalled_loop_is_named_until_it_ticks_again() {
        let progress = LoopMonitor::new();
        let claim = progress.register("claim", Duration::from_secs(30));
        let _renew = progress.register("renew", Duration::from_mins(2));
        tokio::time::advance(Duration::from_secs(31)).await;
        let silent = progress.stalled();
        assert_eq!(silent.iter().map(|s| s.name).collect::<Vec<_>>(), ["claim"]);
        assert!(!progress.alive());
        claim.tick();
        assert!(progress.alive());
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_loop_stays_stalled_and_retired_loop_does_not() {
        let progress = LoopMonitor::new();
        drop(progress.register("died", Duration::from_secs(1)));
        progress.register("drained", Duration::from_secs(1)).retire();
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(progress.stalled().len(), 1);
        assert_eq!(progress.names(), ["died"]);
        progress.register("died", Duration::from_secs(1));
        assert!(progress.alive());
    }
}
