//! What happened, with its time, for people and for the oracles.

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

/// Notes in a file of the run's folder.
#[derive(Debug)]
pub(crate) struct Log {
    start: Instant,
    file: Mutex<File>,
}

impl Log {
    pub(crate) fn create(path: &Path) -> std::io::Result<Self> {
        Ok(Self { start: Instant::now(), file: Mutex::new(File::create(path)?) })
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Writes one line.
    pub(crate) fn note(&self, text: impl std::fmt::Display) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk costs notes, not the run.
        let _ = writeln!(file, "{:>9.3} {} {text}", self.elapsed().as_secs_f64(), wall().to_rfc3339());
    }
}

/// The machine's clock, to be compared with the twin's ledger and nothing else.
pub(crate) fn wall() -> DateTime<Utc> {
    Utc::now()
}
