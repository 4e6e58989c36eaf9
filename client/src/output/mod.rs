//! Output of the commands: formats, tables, details, prompts.

mod changes;
mod columns;
mod detail;
mod list;
pub(crate) mod print;
mod progress;
mod prompt;
mod screen;
mod table;
mod text;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub(crate) use changes::print_changes;
pub(crate) use columns::{Column, Noun};
pub(crate) use detail::detail;
pub(crate) use list::ListWriter;
pub(crate) use progress::Progress;
pub(crate) use prompt::Prompt;
pub(crate) use screen::{Size, fit, show_repeatedly};
pub(crate) use table::render;
pub(crate) use text::{age, plain, scalar};

/// Form in which a command prints its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// A table for people, as wide as the terminal.
    #[default]
    Table,
    /// A table with more columns, never shortened.
    Wide,
    /// JSON as the API answers it.
    Json,
    /// JSON, one line for each item.
    Jsonl,
    /// Only names or ids, one a line, for other commands.
    Name,
}

impl Format {
    /// Returns whether people read the output.
    pub(crate) fn is_table(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}
