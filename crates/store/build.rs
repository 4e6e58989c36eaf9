//! Builds the crate again when a migration file is added: `sqlx::migrate!` sees only those it has read.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
