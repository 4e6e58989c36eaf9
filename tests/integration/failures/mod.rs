//! Failures and the guarantees that hold under them, with at least one test for each row.
//!
//! | failure | tests |
//! |---|---|
//! | worker kill -9 before, between or after any step | [`worker_killed`]; many at random: `exactly_once::crashes` |
//! | worker frozen longer than its lease | [`worker_frozen`]; the fence alone: `exactly_once::crashes` |
//! | Redis restarted or FLUSHALL | [`redis`]; requeued jobs: `queue_loss` |
//! | Redis fails over, connections left open included | [`redis_failover`]; each topology: tests of `queue` |
//! | PostgreSQL restarted | [`postgres`] |
//! | GitHub 429, secondary limit, exhausted window | `limits` |
//! | GitHub 5xx or down | [`github`], `exactly_once::lost` |
//! | response lost after the effect | `exactly_once::lost` |
//! | API killed after commit, before the response | [`api_killed`] |
//! | job that kills its worker | [`poison`] |
//! | one team sends most of the requests | [`fairness_under_load`] |
//! | clock of a machine wrong by minutes | [`clock`] |
//! | upgrade, old and new version side by side | [`upgrade`], `newer_rows`, `migrations` |
//!
//! Killed leaders: `lifecycle::leadership`. Redis and PostgreSQL failures under load: `chaos`.
#![cfg(test)]

mod api_killed;
mod clock;
mod fairness_under_load;
mod github;
mod poison;
mod postgres;
mod redis;
mod redis_failover;
mod upgrade;
mod worker_frozen;
mod worker_killed;
