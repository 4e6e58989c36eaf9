//! Lists in every format, page by page.

use chrono::Utc;
use serde_json::Value;

use super::{
    Format, Noun,
    print::{line, note},
    render, scalar,
    table::terminal_width,
};

/// Writer of a list. JSON, JSON lines and names are printed as they arrive; a table needs all rows.
pub(crate) struct ListWriter<'a> {
    noun: &'a Noun,
    format: Format,
    rows: Vec<Value>,
    written: usize,
}

impl<'a> ListWriter<'a> {
    pub(crate) fn new(noun: &'a Noun, format: Format) -> Self {
        Self { noun, format, rows: Vec::new(), written: 0 }
    }

    /// Writes some items. Returns whether the reader takes more.
    pub(crate) fn write(&mut self, items: Vec<Value>) -> bool {
        if self.format.is_table() {
            self.rows.extend(items);
            return true;
        }
        for item in items {
            let first = self.written == 0;
            let open = match self.format {
                Format::Json => line(format_args!("{}{item}", if first { "[" } else { "," })),
                Format::Name => line(scalar(&item[self.noun.name])),
                Format::Jsonl | Format::Table | Format::Wide => line(&item),
            };
            self.written += 1;
            if !open {
                return false;
            }
        }
        true
    }

    /// Writes the end of the list and, below a table, how many of how many items it has.
    pub(crate) fn end(self, total: Option<(u64, bool)>) {
        match self.format {
            Format::Json => {
                line(if self.written == 0 { "[]" } else { "]" });
            }
            Format::Table | Format::Wide => {
                let wide = self.format == Format::Wide;
                line(render(&self.rows, self.noun.columns, wide, terminal_width(), Utc::now()));
                let shown = self.rows.len();
                match total {
                    Some((total, true)) => note(format_args!("{shown} of more than {total}")),
                    Some((total, false)) => note(format_args!("{shown} of {total}")),
                    None => note(format_args!("{shown} in all")),
                }
            }
            Format::Jsonl | Format::Name => {}
        }
    }
}
