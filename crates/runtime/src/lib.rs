//! Process runtime: configuration, telemetry, shutdown, health and clock.
//!
//! The crate is independent of the service's purpose, so that all processes start and end alike.

pub mod clock;
pub mod config;
pub mod health;
mod http_client;
pub mod open_files;
mod password_file;
pub mod series;
pub mod service_manager;
pub mod shutdown;
pub mod telemetry;
pub mod trace;
pub mod traces;
mod trust;

pub use clock::{Clock, FixedClock, SharedClock, Witness};
pub use http_client::http_client;
pub use password_file::password_file;
pub use trust::Trust;
