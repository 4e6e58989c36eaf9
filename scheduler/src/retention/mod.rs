//! Steps that delete what is kept for a time only.

pub mod prune;
pub mod shred;
