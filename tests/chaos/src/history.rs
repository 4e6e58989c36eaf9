//! Quota usage of each runner, reconstructed from the audit rows, which leave no gap between observations.

use std::collections::HashMap;

use sqlx::{PgPool, Row};
use uuid::Uuid;

/// Lifetime of one runner, from the event that added its row to its `deleted` event, in µs of the database's clock.
///
/// Both times are statement times: the first is written after the quota was counted under the team's lock, the last
/// before
/// its commit. Every runner live by these times when another was added was counted then. More at once than the quota
/// proves that the quota was exceeded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) team: Uuid,
    pub(crate) from: i64,
    pub(crate) until: Option<i64>,
}

impl Life {
    /// Returns the lifetimes of all runners.
    pub(crate) async fn all(sql: &PgPool) -> sqlx::Result<Vec<Self>> {
        let query = "SELECT team_id, (extract(epoch FROM min(at)) * 1000000)::bigint,
                (extract(epoch FROM max(at) FILTER (WHERE to_status = 'deleted')) * 1000000)::bigint
             FROM runners JOIN runner_events ON runner_id = runners.id GROUP BY runners.id";
        let read = |row: &sqlx::postgres::PgRow| {
            Ok(Self { team: row.try_get(0)?, from: row.try_get(1)?, until: row.try_get(2)? })
        };
        sqlx::query(query).fetch_all(sql).await?.iter().map(read).collect()
    }
}

/// Returns the largest number of concurrent lives for each team.
pub(crate) fn most_at_once(lives: &[Life]) -> HashMap<Uuid, i64> {
    let mut moves: HashMap<Uuid, Vec<(i64, i64)>> = HashMap::new();
    for life in lives {
        let moves = moves.entry(life.team).or_default();
        moves.push((life.from, 1));
        moves.extend(life.until.map(|until| (until, -1)));
    }
    let most = |mut moves: Vec<(i64, i64)>| {
        // At equal times, a removal makes room for an addition.
        moves.sort_unstable();
        let live = moves.into_iter().scan(0, |live, (_, by)| {
            *live += by;
            Some(*live)
        });
        live.max().unwrap_or(0)
    };
    moves.into_iter().map(|(team, moves)| (team, most(moves))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_that_meet_are_counted_at_their_fullest_moment() {
        let team = Uuid::nil();
        let life = |from, until| Life { team, from, until };
        let lives =
            [life(0, Some(10)), life(5, Some(20)), life(10, Some(12)), life(11, None), life(30, None)];
        assert_eq!(most_at_once(&lives)[&team], 3);
        assert!(most_at_once(&[]).is_empty());
    }
}
