//! Turns: a limit on the concurrent requests of one key (a caller or a team). Requests that wait for a turn hold no
//! connection.

use std::{
    collections::HashMap,
    fmt::Debug,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Limits of every key.
#[derive(Clone, Copy, Debug)]
pub struct TurnLimits {
    /// Most turns at once.
    pub running: usize,
    /// Most requests that wait for a turn.
    pub waiting: usize,
    /// Longest wait for a turn.
    pub max_wait: Duration,
}

/// The turns of all keys in this process.
#[derive(Debug)]
pub struct Turns<K> {
    limits: TurnLimits,
    keys: Mutex<HashMap<K, Turn>>,
}

/// The turns of one key.
#[derive(Clone, Debug)]
struct Turn {
    running: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// A turn in use; dropping it returns it.
#[derive(Debug)]
pub struct TurnPermit {
    _permits: [OwnedSemaphorePermit; 2],
}

impl<K: Clone + Debug + Eq + Hash> Turns<K> {
    /// Returns turns with these limits for every key.
    pub fn new(limits: TurnLimits) -> Self {
        Self { limits, keys: Mutex::default() }
    }

    /// Waits for a turn. Returns `None` after the longest wait, or if too many requests wait already.
    pub async fn acquire(&self, key: &K) -> Option<TurnPermit> {
        let turn = self.turn(key);
        let place = turn.places.try_acquire_owned().ok()?;
        let permit = timeout(self.limits.max_wait, turn.running.acquire_owned()).await.ok()?.ok()?;
        Some(TurnPermit { _permits: [place, permit] })
    }

    fn turn(&self, key: &K) -> Turn {
        let make = || Turn {
            running: Arc::new(Semaphore::new(self.limits.running)),
            places: Arc::new(Semaphore::new(self.places())),
        };
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.entry(key.clone()).or_insert_with(make).clone()
    }

    fn places(&self) -> usize {
        self.limits.running + self.limits.waiting
    }

    /// Removes keys without requests, so that the map does not grow.
    pub fn forget_idle(&self) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        // Each permit holds a reference to its semaphore, so the count shows whether the key is in use.
        keys.retain(|_, turn| Arc::strong_count(&turn.places) > 1);
        keys.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_of_one_key_do_not_limit_other_keys() {
        let turns = Turns::new(TurnLimits { running: 2, waiting: 1, max_wait: Duration::ZERO });
        let first = turns.acquire(&"ada").await.unwrap();
        let second = turns.acquire(&"ada").await.unwrap();
        assert!(turns.acquire(&"ada").await.is_none(), "all turns are in use");
        drop(turns.acquire(&"bob").await.unwrap());
        turns.forget_idle();
        assert_eq!(turns.keys.lock().unwrap().len(), 1, "only ada has a turn");
        drop(first);
        let third = turns.acquire(&"ada").await.unwrap();
        drop((second, third));
        turns.forget_idle();
        assert!(turns.keys.lock().unwrap().is_empty());
    }
}
