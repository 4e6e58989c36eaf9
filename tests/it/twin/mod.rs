//! The twin answers like GitHub, counts like GitHub and fails on order.
#![cfg(test)]

mod auth;
mod contract;
mod control;
mod faults;
mod issuer;
mod limits;
mod runners;
mod schema;
mod support;
mod webhooks;
