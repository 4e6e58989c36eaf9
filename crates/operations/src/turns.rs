//! Turns: how many of a kind of request one key (a caller, a team) may have under way at once. Those that wait for their
//! turn hold no connection.

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

/// Bounds of the turns of every key.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Turns taken at once.
    pub running: usize,
    /// Requests that wait for one.
    pub waiting: usize,
    /// How long they wait.
    pub patience: Duration,
}

/// The turns of every key, in this process.
#[derive(Debug)]
pub struct Turns<K> {
    bounds: Bounds,
    keys: Mutex<HashMap<K, Turn>>,
}

/// What one key has taken.
#[derive(Clone, Debug)]
struct Turn {
    running: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// A turn that was taken; dropping it gives it back.
#[derive(Debug)]
pub struct Taken {
    _permits: [OwnedSemaphorePermit; 2],
}

impl<K: Clone + Debug + Eq + Hash> Turns<K> {
    /// Turns of no key yet, each key within `bounds`.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, keys: Mutex::default() }
    }

    /// Waits for a turn. Returns `None` if that takes too long, or if too many wait already.
    pub async fn take(&self, key: &K) -> Option<Taken> {
        let turn = self.turn(key);
        let place = turn.places.try_acquire_owned().ok()?;
        let permit = timeout(self.bounds.patience, turn.running.acquire_owned()).await.ok()?.ok()?;
        Some(Taken { _permits: [place, permit] })
    }

    fn turn(&self, key: &K) -> Turn {
        let make = || Turn {
            running: Arc::new(Semaphore::new(self.bounds.running)),
            places: Arc::new(Semaphore::new(self.places())),
        };
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.entry(key.clone()).or_insert_with(make).clone()
    }

    fn places(&self) -> usize {
        self.bounds.running + self.bounds.waiting
    }

    /// Forgets keys with nothing under way, so that the table stays as small as what is.
    pub fn forget_idle(&self) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        // A permit holds its semaphore, so the count says whether anything is under way.
        keys.retain(|_, turn| Arc::strong_count(&turn.places) > 1);
        keys.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_has_a_few_turns_and_others_are_not_concerned() {
        let turns = Turns::new(Bounds { running: 2, waiting: 1, patience: Duration::ZERO });
        let first = turns.take(&"ada").await.unwrap();
        let second = turns.take(&"ada").await.unwrap();
        assert!(turns.take(&"ada").await.is_none(), "nobody gives a turn back in time");
        drop(turns.take(&"bob").await.unwrap());
        turns.forget_idle();
        assert_eq!(turns.keys.lock().unwrap().len(), 1, "only ada has something under way");
        drop(first);
        let third = turns.take(&"ada").await.unwrap();
        drop((second, third));
        turns.forget_idle();
        assert!(turns.keys.lock().unwrap().is_empty());
    }
}
