//! Scale of the measurements: the full and the quick form.

/// Number and size of the measurements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Times each figure is measured; the median counts.
    pub(crate) repetitions: usize,
    /// Seconds of load per measurement.
    pub(crate) seconds: u64,
    /// Jobs run one after the other for each latency figure.
    pub(crate) singles: usize,
    /// Jobs run before the memory is measured.
    pub(crate) jobs: usize,
    /// Runners of the large installation whose lists are read; everything else is in proportion.
    pub(crate) large_runners: u32,
    /// Seconds without work for the figures of an idle worker.
    pub(crate) idle: u64,
}

impl Scale {
    /// The form whose figures are published.
    pub(crate) const FULL: Self =
        Self { repetitions: 3, seconds: 5, singles: 300, jobs: 10_000, large_runners: 1_000_000, idle: 15 };
    /// The form for `--quick`.
    pub(crate) const QUICK: Self =
        Self { repetitions: 1, seconds: 2, singles: 60, jobs: 1_000, large_runners: 10_000, idle: 3 };
}
