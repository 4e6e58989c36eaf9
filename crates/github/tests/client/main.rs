//! Tests of the GitHub client against a small server.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod fake;
mod keys;
mod others;
mod outgoing;
mod runners;
mod tokens;
mod transport;
