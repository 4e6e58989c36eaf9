//! How a process lives: its configuration, telemetry, shutdown, health and clock.
//!
//! Nothing here knows what the service is for; every process of it starts and ends the same way.

pub mod clock;
pub mod config;
pub mod health;
pub mod open_files;
pub mod series;
pub mod shutdown;
pub mod telemetry;
pub mod trace;
mod trust;

pub use clock::{Clock, FixedClock, SharedClock, Witness};
pub use trust::Trust;
