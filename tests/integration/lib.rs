//! Nothing here: the stories are in `main.rs` and beside it.
