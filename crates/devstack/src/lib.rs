//! Private PostgreSQL and Redis (or Valkey) servers, for development and tests only.
//!
//! The servers are the real ones, run as child processes on Unix sockets in a folder of their own below
//! `/tmp`, readable by one account. They take no port and need no password, and servers already on the
//! machine are left alone. Each has a keeper (see `keeper`), so no server outlives the program that
//! started it, however that program ends.
//!
//! Every call blocks for up to some seconds: inside an async program use a blocking task.

mod account;
mod clock;
mod error;
mod folder;
mod group;
mod keeper;
mod options;
mod postgres;
mod process;
mod programs;
mod redis;
mod resp;
mod run;
mod stack;
mod sweep;
mod wire;

pub use clock::{ClockLibrary, WrongClock};
pub use error::Error;
pub use group::{Layout, RedisGroup, SENTINEL_NAME};
pub use options::Options;
pub use run::with_stack;
pub use stack::{Server, Stack};
