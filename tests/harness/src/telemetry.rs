//! The metrics of the test process.

use std::sync::OnceLock;

use runtime::telemetry::Metrics;

/// The one recorder of this process, installed at first use.
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
