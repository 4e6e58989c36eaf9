//! Stories told through HTTP, rows and the ledger of the twin.

#[cfg(test)]
mod happy;
mod twin;
