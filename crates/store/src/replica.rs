//! A streaming replica for lists, used only while the age of its data is known and small.
//!
//! The age comes from positions in the write-ahead log and from this process's monotonic clock: what the server had
//! written at a moment is on the replica once the replica has replayed that position. No clock of a server counts.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

use crate::{
    Result,
    connect::{Pooler, ReplicaSettings, StoreSettings, connect_lazily},
    lists,
};

/// Interval between two comparisons.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time limit of a comparison.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Most positions that are kept: more than the longest permitted age has.
const MAX_POSITIONS: usize = 400;

/// The replica. Clones share its state.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    /// Connections for lists.
    pub(crate) lists: PgPool,
    /// Connections that compare positions and cancel lists.
    pub(crate) control: PgPool,
    max_age: Duration,
    state: Arc<Mutex<ReplicaState>>,
}

#[derive(Debug, Default)]
struct ReplicaState {
    /// Whether the comparing task runs.
    watched: bool,
    positions: Positions,
}

impl Replica {
    /// Prepares the pools, which connect on first use.
    pub(crate) fn open(settings: &StoreSettings, replica: &ReplicaSettings) -> Result<Self> {
        // A pooler in front of the server is not in front of its replica: lists need their limits.
        let direct = StoreSettings { pooler: Pooler::None, ..settings.clone() };
        let options = direct.options(&replica.url)?;
        let few = PgPoolOptions::new().max_connections(2).acquire_timeout(PROBE_TIMEOUT);
        Ok(Self {
            lists: lists::pool(options.clone(), Pooler::None),
            control: connect_lazily(few, options),
            max_age: replica.max_age,
            state: Arc::default(),
        })
    }

    pub(crate) const fn max_age(&self) -> Duration {
        self.max_age
    }

    /// Returns the age of the data if it is small enough. The first call starts the comparison and returns `None`.
    pub(crate) fn age(&self, server: &PgPool) -> Option<Duration> {
        let mut state = self.lock();
        if !state.watched
            && let Ok(runtime) = Handle::try_current()
        {
            state.watched = true;
            runtime.spawn(watch(self.clone(), server.clone()));
        }
        state.positions.age(Instant::now()).filter(|age| *age <= self.max_age)
    }

    /// Stops the use of the replica until the next comparison succeeds.
    pub(crate) fn set_unknown(&self) {
        self.lock().positions.replayed = None;
    }

    fn lock(&self) -> MutexGuard<'_, ReplicaState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Positions of the server at moments, and the newest moment that the replica has replayed.
#[derive(Debug, Default)]
struct Positions {
    written: VecDeque<(Instant, i64)>,
    replayed: Option<Instant>,
}

impl Positions {
    /// Records the server's position as of `at`.
    fn record(&mut self, at: Instant, position: i64) {
        if self.written.len() >= MAX_POSITIONS {
            self.written.pop_front();
        }
        self.written.push_back((at, position));
    }

    /// Records the position up to which the replica has replayed.
    fn replay(&mut self, position: i64) {
        while let Some((at, _)) = self.written.front().filter(|(_, written)| *written <= position) {
            self.replayed = Some(*at);
            self.written.pop_front();
        }
    }

    fn age(&self, now: Instant) -> Option<Duration> {
        Some(now.saturating_duration_since(self.replayed?))
    }
}

/// Compares the positions until the store is closed.
async fn watch(replica: Replica, server: PgPool) {
    let mut usable = true;
    while !server.is_closed() {
        let now_usable = matches!(timeout(PROBE_TIMEOUT, compare(&replica, &server)).await, Ok(Ok(true)));
        if !now_usable {
            replica.set_unknown();
        }
        if usable != now_usable {
            if now_usable {
                tracing::info!("the replica for lists is used again");
            } else {
                tracing::warn!("the replica for lists is away or takes writes; lists come from the server");
            }
            usable = now_usable;
        }
        let age = replica.lock().positions.age(Instant::now());
        metrics::gauge!("rts_db_replica_age_seconds").set(age.map_or(f64::NAN, |age| age.as_secs_f64()));
        sleep(INTERVAL).await;
    }
}

/// Reads both positions. Returns whether the replica is one.
async fn compare(replica: &Replica, server: &PgPool) -> Result<bool> {
    let before = Instant::now();
    // On a server that has become a replica itself there is nothing to compare with.
    let written: Option<i64> = sqlx::query_scalar(
        "SELECT CASE WHEN NOT pg_is_in_recovery() THEN (pg_current_wal_lsn() - '0/0')::int8 END",
    )
    .fetch_one(server)
    .await?;
    let replayed: Option<i64> = sqlx::query_scalar(
        "SELECT CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0')::int8 END",
    )
    .fetch_one(&replica.control)
    .await?;
    let (Some(written), Some(replayed)) = (written, replayed) else { return Ok(false) };
    let mut state = replica.lock();
    state.positions.record(before, written);
    state.positions.replay(replayed);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_that_of_the_newest_replayed_position() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut positions = Positions::default();
        assert_eq!(positions.age(start), None, "nothing is known yet");
        for nth in 0..5 {
            positions.record(start + second * nth, i64::from(nth) * 100);
        }
        positions.replay(250);
        assert_eq!(positions.age(start + second * 4), Some(second * 2));
        positions.replay(240);
        assert_eq!(positions.age(start + second * 9), Some(second * 7), "a replica that stands still ages");
        positions.replay(i64::MAX);
        assert_eq!(positions.age(start + second * 9), Some(second * 5));
        for nth in 0..2_000 {
            positions.record(start, 1_000 + nth);
        }
        assert_eq!(positions.written.len(), MAX_POSITIONS);
    }
}
