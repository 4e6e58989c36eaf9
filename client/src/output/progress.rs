//! Progress of long work: one line that changes on a terminal, one line for each change elsewhere.

use std::io::{self, IsTerminal, Write};

use super::print::note;

/// Progress on stderr.
#[derive(Debug)]
pub(crate) struct Progress {
    terminal: bool,
    last: String,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), last: String::new() }
    }

    /// Shows the present state, if it is another one.
    pub(crate) fn show(&mut self, text: &str) {
        if text == self.last {
            return;
        }
        text.clone_into(&mut self.last);
        if self.terminal {
            let mut stderr = io::stderr().lock();
            // Back to the first column, and clear to the end of the line.
            let _ = write!(stderr, "\r\u{1b}[K{text}").and_then(|()| stderr.flush());
        } else {
            note(text);
        }
    }

    /// Ends the line that changes.
    pub(crate) fn end(&mut self) {
        if self.terminal && !self.last.is_empty() {
            note("");
        }
        self.last.clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
