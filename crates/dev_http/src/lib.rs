//! HTTP server of the fakes (GitHub twin, development issuer), and their random keys. For development and tests only.
//!
//! * [`bind`] and [`run`] serve a router. A handler can close its connection without a response ([`hangup`]), as a
//!   crashing server does. On loopback, only requests that name loopback are served.
//! * [`keys`] makes RSA keys and random texts, so that the repository contains no secrets.

pub mod keys;
mod local;
mod serve;

pub use serve::{bind, hangup, run};
