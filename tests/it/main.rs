//! Stories told through HTTP, rows and the ledger of the twin.

#[cfg(test)]
mod abandoned;
#[cfg(test)]
mod budget;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod crowds;
#[cfg(test)]
mod database_roles;
#[cfg(test)]
mod deployment;
#[cfg(test)]
mod dev;
mod failures;
#[cfg(test)]
mod fences;
#[cfg(test)]
mod filters;
#[cfg(test)]
mod github_seam;
#[cfg(test)]
mod happy;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod house;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod identity;
mod installations;
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod migrations;
#[cfg(test)]
mod newer_rows;
mod once;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod queue_loss;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod registration;
#[cfg(test)]
mod retention;
mod revocation;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod signin;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod streams;
mod twin;
#[cfg(test)]
mod versions;
#[cfg(test)]
mod visibility;
mod webhooks;
