//! Stories told through HTTP, rows and the ledger of the twin.

mod twin;
