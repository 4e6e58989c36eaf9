//! Schedulers that lead. One database has one leader, so two at once are two databases that use one namespace.

use std::time::Duration;

use crate::{Queue, QueueError, queue::millis, scripts};

/// Time for which a scheduler that said so counts as a leader.
const LEADER_TTL: Duration = Duration::from_mins(1);
/// Longest time between two reports of one scheduler that leads all the time.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// A scheduler that leads, or did so within the last minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Name under which it holds the lease of its database.
    pub name: String,
    /// Time since it began to lead.
    pub began: Duration,
    /// Time since it last said that it leads.
    pub seen: Duration,
}

impl Queue {
    /// Records that this scheduler leads. Must be repeated within 30 s.
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn report_leader(&self, name: &str) -> Result<(), QueueError> {
        self.leader_rows(name).await.map(drop)
    }

    /// Returns the schedulers that said within the last minute that they lead, in no order.
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn leaders(&self) -> Result<Vec<Leader>, QueueError> {
        let rows = self.leader_rows("").await?;
        let leader = |(name, began, seen): (String, u64, u64)| Leader {
            name,
            began: Duration::from_millis(began),
            seen: Duration::from_millis(seen),
        };
        Ok(rows.into_iter().map(leader).collect())
    }

    async fn leader_rows(&self, name: &str) -> Result<Vec<(String, u64, u64)>, QueueError> {
        let args = [name.to_owned(), millis(LEADER_TTL).to_string(), millis(MAX_PAUSE).to_string()];
        self.run(&scripts::LEADERS, &args).await
    }
}
