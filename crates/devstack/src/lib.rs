//! Private PostgreSQL and Redis (or Valkey) servers, for development and tests only.
//!
//! The servers are the real programs, run as child processes on Unix sockets in a private folder below `/tmp`. They use
//! no port and no password, and other servers on the machine are not affected. Each has a keeper (see `keeper`), so no
//! server outlives the program that started it.
//!
//! Every call may block for several seconds: inside an async program use a blocking task.

mod account;
mod clock;
mod error;
mod folder;
mod group;
mod keeper;
mod options;
mod ports;
mod postgres;
mod process;
mod programs;
mod redis;
mod resp;
mod run;
mod stack;
mod sweep;
mod tls;
mod wire;

pub use clock::{ClockLibrary, WrongClock};
pub use error::Error;
pub use group::{Layout, RedisGroup, SENTINEL_NAME};
pub use options::{Options, ServerPrograms};
pub use ports::free_port;
pub use run::with_stack;
pub use stack::{Server, Stack};
pub use tls::{ServerTls, TlsPorts};
