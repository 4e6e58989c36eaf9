//! Output for people: results on stdout, remarks on stderr.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Prints one line of the result. A closed stdout is no failure.
pub(crate) fn line(text: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Prints one line beside the result.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
