//! Event log of a run, with times, for people and for the oracles.

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

/// Log file in the run's folder.
#[derive(Debug)]
pub(crate) struct Log {
    start: Instant,
    file: Mutex<File>,
}

impl Log {
    pub(crate) fn create(path: &Path) -> std::io::Result<Self> {
        Ok(Self { start: Instant::now(), file: Mutex::new(File::create(path)?) })
    }

    /// Returns the time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Writes one line.
    pub(crate) fn write(&self, text: impl std::fmt::Display) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk loses log lines, but does not end the run.
        let _ = writeln!(file, "{:>9.3} {} {text}", self.elapsed().as_secs_f64(), wall().to_rfc3339());
    }
}

/// Returns the machine's wall clock, to be compared only with the twin's ledger.
pub(crate) fn wall() -> DateTime<Utc> {
    Utc::now()
}
