//! Tests of the GitHub twin: its responses, limits and configured faults.
#![cfg(test)]

mod accounts;
mod auth;
mod contract;
mod control;
mod faults;
mod groups;
mod issuer;
mod limits;
mod names;
mod runners;
mod runs;
mod schema;
mod support;
mod webhooks;
