//! A bound on the number of metric series, so that label values from outside cannot fill the memory.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fmt,
    sync::{PoisonError, RwLock},
};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

/// Maximum number of series of one metric; further label sets are recorded as [`OTHER`].
pub const MAX_SERIES: usize = 2_000;
/// Maximum length of a label value, in bytes; longer values are recorded as [`OTHER`].
pub const MAX_LABEL_VALUE: usize = 200;
/// Label value that replaces every value beyond the bounds.
pub const OTHER: &str = "other";

/// A Prometheus recorder with bounded series and label sizes.
pub struct BoundedRecorder {
    inner: PrometheusRecorder,
    series: RwLock<Series>,
}

#[derive(Default)]
struct Series {
    /// Keys that are recorded unchanged. Their hashes collide too often to be stored instead.
    known: HashSet<Key>,
    /// Number of known keys of each metric.
    counts: HashMap<String, usize>,
}

impl fmt::Debug for BoundedRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoundedRecorder")
    }
}

impl BoundedRecorder {
    pub(crate) fn new(inner: PrometheusRecorder) -> Self {
        Self { inner, series: RwLock::default() }
    }

    /// Returns the key itself while its metric has room, else the key with every label value replaced.
    fn bounded<'k>(&self, key: &'k Key) -> Cow<'k, Key> {
        let mut labels = key.labels();
        if labels.len() == 0 {
            return Cow::Borrowed(key);
        }
        let fits = labels.all(|label| label.value().len() <= MAX_LABEL_VALUE);
        if fits && self.admits(key) { Cow::Borrowed(key) } else { Cow::Owned(other(key)) }
    }

    fn admits(&self, key: &Key) -> bool {
        if self.series.read().unwrap_or_else(PoisonError::into_inner).known.contains(key) {
            return true;
        }
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let count = series.counts.entry(key.name().to_owned()).or_default();
        if *count >= MAX_SERIES {
            return false;
        }
        *count += 1;
        series.known.insert(key.clone());
        true
    }
}

fn other(key: &Key) -> Key {
    let labels: Vec<Label> = key.labels().map(|label| Label::new(label.key().to_owned(), OTHER)).collect();
    Key::from_parts(key.name().to_owned(), labels)
}

impl Recorder for BoundedRecorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.inner.register_counter(&self.bounded(key), metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.inner.register_gauge(&self.bounded(key), metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.inner.register_histogram(&self.bounded(key), metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    fn series(text: &str, name: &str) -> usize {
        text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count()
    }

    #[test]
    fn label_values_without_bound_become_other() {
        let (recorder, shown) = Metrics::local().unwrap();
        metrics::with_local_recorder(&recorder, || {
            for nth in 0..3 * MAX_SERIES {
                metrics::counter!("rts_test_total", "from_outside" => nth.to_string()).increment(1);
                metrics::gauge!("rts_test_gauge", "from_outside" => nth.to_string()).set(1.0);
            }
            metrics::counter!("rts_test_total", "from_outside" => "7").increment(1);
        });
        let text = shown.render();
        assert_eq!(series(&text, "rts_test_total"), MAX_SERIES + 1);
        assert_eq!(series(&text, "rts_test_gauge"), MAX_SERIES + 1);
        assert!(text.contains(r#"rts_test_total{from_outside="7"} 2"#));
        assert!(text.contains(&format!(r#"rts_test_total{{from_outside="other"}} {}"#, 2 * MAX_SERIES)));
    }

    #[test]
    fn long_label_value_becomes_other() {
        let (recorder, shown) = Metrics::local().unwrap();
        metrics::with_local_recorder(&recorder, || {
            let long = "x".repeat(MAX_LABEL_VALUE + 1);
            metrics::counter!("rts_test_total", "from_outside" => long).increment(1);
        });
        assert_eq!(shown.render().matches("xx").count(), 0);
        assert!(shown.render().contains(r#"rts_test_total{from_outside="other"} 1"#));
    }
}
