//! Wall clocks of the stores, wrong by minutes.

use anyhow::ensure;
use devstack::{Server, WrongClock};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use sqlx::PgPool;

use crate::log::wall;

/// Range of clock errors in seconds.
const ERRORS: std::ops::RangeInclusive<i64> = 120..=600;
/// Allowed difference between planned and measured error in seconds; the machine may be busy.
const TOLERANCE: i64 = 60;
/// With every seed divisible by this number, the clocks are right at first.
const RIGHT: u64 = 4;

/// Errors of the stores' clocks in seconds; negative values are slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// Error of PostgreSQL's clock, for the whole run, because its rows hold times.
    pub postgres: i64,
    /// Error of Redis's clock, until it restarts with another one.
    pub redis: i64,
}

impl Clocks {
    /// Returns the initial errors for a seed.
    pub(crate) fn draw(seed: u64) -> Self {
        if seed.is_multiple_of(RIGHT) {
            return Self::default();
        }
        // A random stream separate from that of the faults.
        let mut rng = SmallRng::seed_from_u64(!seed);
        Self { postgres: draw_error(&mut rng), redis: draw_error(&mut rng) }
    }

    /// Returns the clocks that are not right.
    pub(crate) fn wrong(self) -> Vec<WrongClock> {
        [(Server::Postgres, self.postgres), (Server::Redis, self.redis)]
            .into_iter()
            .filter(|(_, seconds)| *seconds != 0)
            .map(|(server, seconds)| WrongClock { server, seconds })
            .collect()
    }

    /// Returns an error unless both servers' clocks are wrong as planned.
    pub(crate) async fn check(self, sql: &PgPool, redis: &redis::Client) -> anyhow::Result<()> {
        let query = "SELECT extract(epoch FROM clock_timestamp())::bigint";
        check("PostgreSQL", sqlx::query_scalar(query).fetch_one(sql).await?, self.postgres)?;
        check_redis(redis, self.redis).await
    }
}

impl std::fmt::Display for Clocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:+} s, {:+} s", self.postgres, self.redis)
    }
}

/// Returns a new error in seconds; 0 where the clock of a single process cannot be changed.
pub(crate) fn draw_error(rng: &mut SmallRng) -> i64 {
    let (seconds, is_slow) = (rng.random_range(ERRORS), rng.random_bool(0.5));
    let signed = if is_slow { -seconds } else { seconds };
    if cfg!(target_os = "linux") { signed } else { 0 }
}

/// Returns an error unless Redis's clock is wrong as planned.
pub(crate) async fn check_redis(redis: &redis::Client, planned: i64) -> anyhow::Result<()> {
    let mut connection = redis.get_multiplexed_async_connection().await?;
    let (now, _): (i64, i64) = redis::cmd("TIME").query_async(&mut connection).await?;
    check("Redis", now, planned)
}

fn check(server: &str, now: i64, planned: i64) -> anyhow::Result<()> {
    let error = now - wall().timestamp();
    ensure!(
        (error - planned).abs() < TOLERANCE,
        "the clock of {server} is wrong by {error} s, not {planned} s"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn seeds_make_each_clock_fast_and_slow() {
        let drawn: Vec<Clocks> = (1..40).map(Clocks::draw).collect();
        for signs in [(1, 1), (1, -1), (-1, 1), (-1, -1), (0, 0)] {
            assert!(
                drawn.iter().any(|one| (one.postgres.signum(), one.redis.signum()) == signs),
                "{signs:?}"
            );
        }
        assert_eq!(Clocks::draw(7), Clocks::draw(7));
        assert!(Clocks::draw(4).wrong().is_empty());
    }
}
