//! Complete service for one test: its own database, Redis namespace, GitHub twin and issuers, and the real API,
//! workers and scheduler as separately controllable processes.
//!
//! ```no_run
//! # async fn story() {
//! let world = harness::World::start().await;
//! let team = world.team(harness::team_draft("red")).await;
//! let ada = world.user("ada", &[&team]).await;
//! let asked = world.provision(&ada, harness::provision_body("ci")).await;
//! assert_eq!(world.until_final(&ada, asked.job).await["state"], "succeeded");
//! # }
//! ```
//!
//! `TEST_DATABASE_URL` and `TEST_REDIS_URL` name the servers; `./dev test` starts them. A passing test removes its
//! data.
//! A failing test keeps its database and prints the name.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

mod browser;
mod builder;
mod certificates;
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
mod tools;
mod wait;
mod work;
mod world;

pub use browser::Browser;
pub use builder::{Builder, ExtraInstallation};
pub use certificates::{Authority, serve_by_https};
pub use database::{Database, copy_of, empty};
pub use dev::{DevRun, Ending, Printed};
pub use http::{Anyone, ApiRequest, ApiResponse, Bearer};
pub use principals::{Machine, Person, Team, team_draft};
pub use process::Process;
pub use program::{Output, Program};
pub use redis_namespace::RedisNamespace;
pub use servers::redis_group_with_tls;
pub use tools::tool;
pub use wait::{eventually, eventually_within, wait_until};
pub use work::{Accepted, provision_body};
pub use world::{CREDENTIAL_KEY, TOKEN_KEY, World};

#[expect(clippy::disallowed_methods, reason = "the environment names the servers of the tests")]
fn server(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run ./dev test"))
}
