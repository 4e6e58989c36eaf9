//! Output of the benchmark: results on stdout, progress on stderr.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Prints a line of the result. A closed stdout is no failure.
pub(crate) fn print_result(text: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Prints a line about the progress.
pub(crate) fn print_progress(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
