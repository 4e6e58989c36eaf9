//! Stories told through HTTP, rows and the ledger of the twin.

#[cfg(test)]
mod happy;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod idempotency;
mod once;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod signin;
mod twin;
#[cfg(test)]
mod visibility;
