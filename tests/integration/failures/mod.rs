//! What may fail, and what must hold then: one story at least for each row.
//!
//! | failure | stories |
//! |---|---|
//! | worker kill -9 before, between or after any step | [`worker_killed`]; many at random: `once::crashes` |
//! | worker frozen longer than its lease | [`worker_frozen`]; the fence alone: `once::crashes::a_result_behind_the_fence_is_discarded_and_its_runner_reaped` |
//! | Redis restarted or FLUSHALL | [`redis`]; what the sweep puts back: `queue_loss` |
//! | Redis fails over, connections left open included | [`redis_failover`]; each set-up: `queue`'s own tests |
//! | Postgres restarted | [`postgres`] |
//! | GitHub 429, secondary limit, exhausted window | `limits` |
//! | GitHub 5xx or down | [`github`], `once::lost::server_errors_are_waited_out_with_or_without_effect` |
//! | answer lost after the effect | `once::lost::an_answer_lost_after_the_effect_leads_to_the_next_generation_at_once` |
//! | API killed after commit, before answering | [`api_killed`] |
//! | job that kills its worker | [`poison`] |
//! | one team floods | [`flood`] |
//! | clock of a machine wrong by minutes | [`clock`] |
//! | upgrade, old and new version side by side | [`upgrade`], `newer_rows`, `migrations` |
//!
//! Leading schedulers that are killed, and Redis and Postgres under a whole day's work: `lifecycle::lead`, `chaos`.
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
