//! Steps of the audit chains.

pub mod chain;
