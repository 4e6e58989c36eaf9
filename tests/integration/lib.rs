//! Empty library target; the tests are in `main.rs` and its modules.
