//! Gauges whose label sets come and go.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use metrics::Label;

/// Name and labels of one gauge.
type Series = (&'static str, Vec<Label>);

/// Gauges that a step has set. A gauge keeps its last value for ever, so a run overwrites those that it no longer sets.
#[derive(Clone, Debug, Default)]
pub struct ShownGauges(Arc<Mutex<HashMap<Series, f64>>>);

impl ShownGauges {
    /// Begins a run of the step.
    pub(crate) fn begin(&self) -> GaugeRun<'_> {
        GaugeRun { shown: self, set: HashMap::new() }
    }
}

/// One run of a step that sets gauges.
#[derive(Debug)]
pub(crate) struct GaugeRun<'g> {
    shown: &'g ShownGauges,
    /// The gauges that this run has set, with the value that follows once a run no longer sets them.
    set: HashMap<Series, f64>,
}

impl GaugeRun<'_> {
    /// Sets a gauge; it becomes 0 once a run no longer sets it.
    pub(crate) fn set(&mut self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        self.set_for_now(name, labels, value, 0.0);
    }

    /// Sets a gauge for which 0 would be a statement; it becomes NaN, which no rule matches, once a run no longer sets
    /// it.
    pub(crate) fn set_known(&mut self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        self.set_for_now(name, labels, value, f64::NAN);
    }

    /// Sets a gauge to a number, at most `u32::MAX`.
    pub(crate) fn count(&mut self, name: &'static str, labels: &[(&'static str, &str)], number: u64) {
        self.set(name, labels, float(number));
    }

    fn set_for_now(&mut self, name: &'static str, labels: &[(&'static str, &str)], value: f64, after: f64) {
        let labels: Vec<Label> =
            labels.iter().map(|(label, value)| Label::new(*label, (*value).to_owned())).collect();
        metrics::gauge!(name, labels.clone()).set(value);
        self.set.insert((name, labels), after);
    }

    /// Ends the run: gauges of earlier runs that it has not set get their last value.
    pub(crate) fn end(self) {
        let mut shown = self.shown.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((name, labels), after) in shown.drain() {
            if !self.set.contains_key(&(name, labels.clone())) {
                metrics::gauge!(name, labels).set(after);
            }
        }
        *shown = self.set;
    }
}

/// Returns a number as the value of a gauge, at most `u32::MAX`.
pub(crate) fn float(number: u64) -> f64 {
    u32::try_from(number).unwrap_or(u32::MAX).into()
}

#[cfg(test)]
mod tests {
    use runtime::telemetry::Metrics;

    use super::*;

    #[test]
    fn gauges_that_a_run_no_longer_sets_are_overwritten() {
        let (recorder, metrics) = Metrics::local().unwrap();
        let _installed = metrics::set_default_local_recorder(&recorder);
        let shown = ShownGauges::default();
        for name in ["one", "two"] {
            let mut run = shown.begin();
            run.count("rts_test_jobs", &[("installation", name)], 7);
            run.set_known("rts_test_left", &[("installation", name)], 0.0);
            run.end();
        }
        let text = metrics.render();
        for line in [
            r#"rts_test_jobs{installation="one"} 0"#,
            r#"rts_test_jobs{installation="two"} 7"#,
            r#"rts_test_left{installation="one"} NaN"#,
            r#"rts_test_left{installation="two"} 0"#,
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
