//! What a person reads: answers on stdout, remarks on stderr.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// One line of the answer. A reader that went away is no failure.
pub(crate) fn line(text: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// One line beside the answer.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
