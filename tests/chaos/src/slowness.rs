//! Slowness of this machine compared with an idle one, measured during a run.
//!
//! Bounds in seconds are for an idle machine. On a busy machine every process gets a share of a core, so each bound
//! grows
//! by the measured factor, and slowness is not reported as a violation.

use std::{
    hint::black_box,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::time::{ClockId, clock_gettime};

/// CPU time of one sample: longer than a time slice of the scheduler.
const SAMPLE_CPU_TIME: Duration = Duration::from_millis(40);
/// Time between two samples.
const SAMPLE_PAUSE: Duration = Duration::from_millis(960);
/// Additions between two reads of the clock.
const ADDITIONS_PER_CHECK: u64 = 50_000;
/// Largest accepted factor.
const MAX_FACTOR: f64 = 20.0;

/// Measures until dropped, in a thread of its own.
pub(crate) struct Slowness {
    samples: Arc<Mutex<Vec<f64>>>,
    stopped: Arc<AtomicBool>,
}

impl Slowness {
    pub(crate) fn start() -> Self {
        let (samples, stopped) = (Arc::<Mutex<Vec<f64>>>::default(), Arc::<AtomicBool>::default());
        let (kept, stop) = (samples.clone(), stopped.clone());
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if let Some(sample) = sample() {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
                }
                thread::sleep(SAMPLE_PAUSE);
            }
        });
        Self { samples, stopped }
    }

    /// Returns the factor that nine of ten samples stayed below; 1 on an idle machine.
    pub(crate) fn factor(&self) -> f64 {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone();
        samples.sort_unstable_by(f64::total_cmp);
        let ninth = samples.len() * 9 / 10;
        samples.get(ninth).copied().unwrap_or(1.0).clamp(1.0, MAX_FACTOR)
    }
}

impl Drop for Slowness {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// Returns elapsed time per CPU time, or `None` where the system has no such clock.
fn sample() -> Option<f64> {
    let (begun, before) = (Instant::now(), computed()?);
    let (mut sum, mut worked) = (0_u64, Duration::ZERO);
    while worked < SAMPLE_CPU_TIME {
        for step in 0..ADDITIONS_PER_CHECK {
            sum = black_box(sum.wrapping_add(step));
        }
        worked = computed()?.checked_sub(before)?;
    }
    Some(begun.elapsed().as_secs_f64() / worked.as_secs_f64())
}

/// Returns the CPU time of this thread.
fn computed() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).ok().map(Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sample_is_faster_than_its_own_computing_time() {
        assert!(sample().is_none_or(|factor| factor > 0.9));
    }

    #[test]
    fn factor_ignores_the_slowest_tenth_and_is_never_below_one() {
        let of = |samples: Vec<f64>| {
            let samples = Arc::new(Mutex::new(samples));
            Slowness { samples, stopped: Arc::default() }.factor()
        };
        assert!((of(Vec::new()) - 1.0).abs() < f64::EPSILON);
        assert!((of(vec![0.5]) - 1.0).abs() < f64::EPSILON);
        let mut samples = vec![3.0; 19];
        samples.push(1_000.0);
        assert!((of(samples) - 3.0).abs() < f64::EPSILON);
    }
}
