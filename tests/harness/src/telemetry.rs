//! The metrics of the test process.

use std::sync::OnceLock;

use runtime::telemetry::Metrics;

/// Returns the process-wide metrics recorder, installed on first use.
pub(crate) fn metrics() -> Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS
        .get_or_init(|| {
            let (recorder, metrics) = Metrics::local().unwrap();
            metrics::set_global_recorder(recorder).expect("no other recorder in this process");
            metrics
        })
        .clone()
}
