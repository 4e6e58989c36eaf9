//! A whole service for one test: its own database, its own corner of Redis, its own GitHub and issuer, and the
//! real api, workers and scheduler, each a process of its own as far as one test process allows.
//!
//! ```no_run
//! # async fn story() {
//! let world = harness::World::start().await;
//! let team = world.team(harness::draft("red")).await;
//! let ada = world.user("ada", &[&team]).await;
//! let asked = world.provision(&ada, harness::wish("ci")).await;
//! assert_eq!(world.settled(&ada, asked.job).await["state"], "succeeded");
//! # }
//! ```
//! The servers are those of `TEST_DATABASE_URL` and `TEST_REDIS_URL`; `./dev test` starts them. What a test made
//! is removed when it passes; when it fails, its database stays and its name is printed.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

mod builder;
mod database;
mod dev;
mod http;
pub mod logs;
mod principals;
mod process;
mod program;
mod redis_namespace;
mod servers;
mod telemetry;
mod wait;
mod work;
mod world;

pub use builder::{Builder, More};
pub use database::{Database, copy_of, empty};
pub use dev::{DevRun, Ending, Printed};
pub use http::{Anyone, ApiRequest, ApiResponse, Bearer};
pub use principals::{Machine, Person, Team, team_draft};
pub use process::Process;
pub use program::{Output, Program};
pub use redis_namespace::RedisNamespace;
pub use wait::{eventually, eventually_within, wait_until};
pub use work::{Accepted, provision_body};
pub use world::{CREDENTIAL_KEY, TOKEN_KEY, World};

#[expect(clippy::disallowed_methods, reason = "tests are told their servers by the environment alone")]
fn server(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run ./dev test"))
}
