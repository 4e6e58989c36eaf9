//! What the process logs, kept in memory: shown when a test fails, searched for secrets when it passes.

use std::{
    io,
    sync::{Mutex, MutexGuard, Once, PoisonError},
};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// What is kept unless a test asks for more.
const USUAL: &str = "debug,hyper=info,hyper_util=info,sqlx=info,tower=info,apalis=info,reqwest=info";
/// Most bytes kept; what is older goes.
const MOST: usize = 64 << 20;

static KEPT: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static START: Once = Once::new();

/// Starts keeping what `filter` lets through. Only the first call of a process counts.
///
/// # Panics
/// When the filter does not parse or the process has a logger already.
pub fn keep(filter: &str) {
    START.call_once(|| {
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(|| Kept);
        tracing_subscriber::registry().with(EnvFilter::new(filter)).with(lines).init();
    });
}

pub(crate) fn keep_usual() {
    keep(USUAL);
}

/// Everything kept so far.
pub fn text() -> String {
    String::from_utf8_lossy(&kept()).into_owned()
}

/// The last lines, for a test that failed.
pub(crate) fn tail(lines: usize) -> String {
    let text = text();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn kept() -> MutexGuard<'static, Vec<u8>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Kept;

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = kept();
        if kept.len() > MOST {
            kept.drain(..MOST / 2);
        }
        kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
