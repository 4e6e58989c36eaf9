//! Check for another database whose processes use the same keys of Redis.
//!
//! Each leading scheduler reports in Redis. A database has one leader, so a second one that goes on reporting belongs to
//! another database, even if that one is a copy of this one.

use queue::{Leader, Queue};
use store::Store;

use super::{Finding, SCHEDULER_LEASE};

/// Longest part of a foreign name in a finding, in characters.
const MAX_NAME: usize = 100;

/// Checks who leads. Servers that do not answer have findings of their own.
pub(super) async fn examine(store: &Store, queue: &Queue) -> Vec<Finding> {
    let leaders = queue.leaders().await.unwrap_or_default();
    if leaders.len() < 2 {
        return Vec::new();
    }
    let Ok(mut conn) = store.conn().await else { return Vec::new() };
    let Ok(Some(lease)) = conn.leases().get(SCHEDULER_LEASE).await else { return Vec::new() };
    judge(&lease.holder, &leaders)
}

/// Returns a finding for each scheduler that reported after this database's leader began. One that handed over the lead
/// has not.
fn judge(holder: &str, leaders: &[Leader]) -> Vec<Finding> {
    let Some(ours) = leaders.iter().find(|leader| leader.name == holder) else { return Vec::new() };
    let foreign = leaders.iter().filter(|leader| leader.name != holder && leader.seen < ours.began);
    let found = foreign.map(|leader| {
        let name: String = leader.name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
        Finding::fail(
            "redis",
            format!("the scheduler {name} of another database uses the same keys of Redis: each service takes jobs of the other"),
            "Give each service its own REDIS_NAMESPACE, delete the keys of the old one, and restart all processes: the schedulers fill the queues again.",
        )
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn leader(name: &str, began: u64, seen: u64) -> Leader {
        Leader { name: name.into(), began: Duration::from_secs(began), seen: Duration::from_secs(seen) }
    }

    #[test]
    fn second_database_is_told_from_a_change_of_leaders() {
        let found = |leaders: &[Leader]| judge("a.1", leaders).len();
        assert_eq!(found(&[leader("a.1", 300, 4)]), 0);
        assert_eq!(found(&[leader("a.1", 300, 4), leader("b.2", 20, 9)]), 1);
        assert_eq!(found(&[leader("a.1", 12, 4), leader("b.2", 900, 20)]), 0, "b.2 handed over");
        assert_eq!(found(&[leader("b.2", 900, 1), leader("c.3", 900, 1)]), 0, "ours has not reported yet");
    }
}
