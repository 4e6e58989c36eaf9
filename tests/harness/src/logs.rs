//! Log of the test process, kept in memory: printed when a test fails, searched for secrets when it passes.

use std::{
    io,
    sync::{Mutex, MutexGuard, Once, PoisonError},
};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// Default filter of the recorded log.
const DEFAULT_FILTER: &str = "debug,hyper=info,hyper_util=info,sqlx=info,tower=info,apalis=info,reqwest=info";
/// Largest size of the recorded log in bytes; older lines are dropped.
const MAX_BYTES: usize = 64 << 20;

static BUFFER: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static START: Once = Once::new();

/// Starts recording the events that `filter` accepts. Only the first call in a process has an effect.
///
/// # Panics
/// When the filter is invalid or the process has a logger already.
pub fn record(filter: &str) {
    START.call_once(|| {
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(|| Kept);
        tracing_subscriber::registry().with(EnvFilter::new(filter)).with(lines).init();
    });
}

pub(crate) fn record_default() {
    record(DEFAULT_FILTER);
}

/// Returns everything recorded so far.
pub fn recorded() -> String {
    String::from_utf8_lossy(&buffer()).into_owned()
}

/// Returns the last lines, printed when a test fails.
pub(crate) fn tail(lines: usize) -> String {
    let text = recorded();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn buffer() -> MutexGuard<'static, Vec<u8>> {
    BUFFER.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Kept;

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = buffer();
        if kept.len() > MAX_BYTES {
            kept.drain(..MAX_BYTES / 2);
        }
        kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
