//! Steps that delete rows and secrets after a set time.

pub mod prune;
pub mod shred;
