//! Results on stdout, remarks on stderr.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Prints one line of the result. Returns whether stdout still takes lines; a reader that has enough is no failure.
pub fn line(text: impl Display) -> bool {
    writeln!(io::stdout().lock(), "{text}").is_ok()
}

/// Prints one line beside the result.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
