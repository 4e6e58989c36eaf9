//! Invariants that must hold at every moment, checked many times a second.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::Row;
use tokio::{task::JoinHandle, time::interval};
use uuid::Uuid;

use crate::environment::Environment;

/// Time between two counts of the quotas.
const QUOTA_INTERVAL: Duration = Duration::from_millis(50);
/// Counts of the quotas between two checks of final states.
const QUOTA_COUNTS_PER_FINAL_CHECK: u64 = 6;

/// Observations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Successful counts of the quotas.
    pub(crate) looks: u64,
    /// Failed counts: PostgreSQL was down.
    pub(crate) blind: u64,
    /// Quotas that were exceeded.
    pub(crate) exceeded: Vec<String>,
    /// Largest usage of each team.
    pub(crate) fullest: HashMap<String, i64>,
    /// Final states when first seen.
    finals: HashMap<Uuid, (String, String)>,
    /// Final states that changed.
    pub(crate) changed: Vec<String>,
}

impl Seen {
    /// Returns the number of jobs seen final.
    pub(crate) fn finals(&self) -> usize {
        self.finals.len()
    }
}

/// Checks until dropped.
pub(crate) struct Watch {
    environment: Arc<Environment>,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Watch {
    pub(crate) fn start(environment: Arc<Environment>) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let task = tokio::spawn(keep_looking(environment.clone(), seen.clone()));
        Self { environment, seen, task }
    }

    /// Checks once more and returns all observations.
    pub(crate) async fn end(self) -> anyhow::Result<Seen> {
        self.task.abort();
        quotas(&self.environment, &self.seen).await?;
        finals(&self.environment, &self.seen).await?;
        Ok(self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_looking(environment: Arc<Environment>, seen: Arc<Mutex<Seen>>) {
    let mut ticks = interval(QUOTA_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for nth in 0_u64.. {
        ticks.tick().await;
        let mut looked = quotas(&environment, &seen).await;
        if nth.is_multiple_of(QUOTA_COUNTS_PER_FINAL_CHECK) {
            looked = looked.and(finals(&environment, &seen).await);
        }
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match looked {
            Ok(()) => seen.looks += 1,
            Err(_) => seen.blind += 1,
        }
    }
}

async fn quotas(environment: &Environment, seen: &Mutex<Seen>) -> sqlx::Result<()> {
    let query = "SELECT team_id, count(*) FROM runners WHERE status <> 'deleted' GROUP BY team_id";
    let rows = sqlx::query(query).fetch_all(&environment.sql).await?;
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    for row in rows {
        let (id, live): (Uuid, i64) = (row.try_get(0)?, row.try_get(1)?);
        let Some(team) = environment.teams.iter().find(|team| team.id == id) else { continue };
        let fullest = seen.fullest.entry(team.name.to_owned()).or_default();
        *fullest = live.max(*fullest);
        if let Some(most) = team.most.filter(|most| live > i64::from(*most)) {
            let at = environment.log.elapsed().as_secs_f64();
            seen.exceeded.push(format!("{at:.3} s: {} had {live} runners of {most}", team.name));
        }
    }
    Ok(())
}

async fn finals(environment: &Environment, seen: &Mutex<Seen>) -> sqlx::Result<()> {
    let query = "SELECT id, state, finished_at::text FROM jobs WHERE finished_at IS NOT NULL";
    let rows = sqlx::query(query).fetch_all(&environment.sql).await?;
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let mut now = HashMap::with_capacity(rows.len());
    for row in rows {
        now.insert(row.try_get::<Uuid, _>(0)?, (row.try_get(1)?, row.try_get(2)?));
    }
    let at = environment.log.elapsed().as_secs_f64();
    let mut changed = Vec::new();
    for (id, before) in &seen.finals {
        if now.get(id) != Some(before) {
            changed.push(format!("{at:.3} s: job {id} was {before:?} and is {:?}", now.get(id)));
        }
    }
    seen.changed.extend(changed);
    seen.finals = now;
    Ok(())
}
