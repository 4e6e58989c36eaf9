//! When each runner counted for its team's quota, as the rows tell afterwards: nothing is missed while nobody looked.

use std::collections::HashMap;

use sqlx::{PgPool, Row};
use uuid::Uuid;

/// One runner of a team, from the event that made its row to the one that says `deleted`, in µs by the database's clock.
///
/// Both are written at their own statement's time, the first after the quota was counted under the team's lock, the
/// last before its commit. So whoever was live by these times when a runner was added was counted then, and more at
/// once than the quota means that it was exceeded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) team: Uuid,
    pub(crate) from: i64,
    pub(crate) until: Option<i64>,
}

impl Life {
    /// All of them.
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

/// The most that lived at once, for each team.
pub(crate) fn most_at_once(lives: &[Life]) -> HashMap<Uuid, i64> {
    let mut moves: HashMap<Uuid, Vec<(i64, i64)>> = HashMap::new();
    for life in lives {
        let moves = moves.entry(life.team).or_default();
        moves.push((life.from, 1));
        moves.extend(life.until.map(|until| (until, -1)));
    }
    let most = |mut moves: Vec<(i64, i64)>| {
        // At the same moment the one that goes makes room for the one that comes.
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
