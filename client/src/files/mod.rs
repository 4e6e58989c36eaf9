//! Teams files on disk.

mod plan;
mod source;
mod yaml;

pub(crate) use plan::print_plan;
pub(crate) use source::{Sources, read_sources};
pub(crate) use yaml::write_yaml;
