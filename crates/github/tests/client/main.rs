//! The client against a small server of its own.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod fake;
mod others;
mod outgoing;
mod runners;
mod tokens;
mod transport;
