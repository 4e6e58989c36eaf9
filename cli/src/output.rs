//! Output for people: results on stdout, remarks on stderr.

use std::fmt::Display;

pub(crate) use client::note;

/// Prints one line of the result. A closed stdout is no failure.
pub(crate) fn line(text: impl Display) {
    client::line(text);
}
