//! Table of the figures of all contenders.

use std::fmt::Write;

use serde::Serialize;

use super::contest::RECOVERY_TIMEOUT;
use crate::report::{median, number};

/// Figures of one contender, one value for each repetition.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    /// Jobs enqueued per second with 16 calls at the same time.
    pub(crate) enqueue: Vec<f64>,
    /// Empty jobs run per second, one at a time.
    pub(crate) one: Vec<f64>,
    /// Empty jobs run per second, 16 at a time.
    pub(crate) sixteen: Vec<f64>,
    /// Milliseconds from enqueuing a job to its start in an idle worker.
    pub(crate) p50: Vec<f64>,
    pub(crate) p99: Vec<f64>,
}

/// Time until the jobs of a killed worker were done.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Recovery {
    /// Seconds.
    After(f64),
    /// Longer than the time limit.
    NotWithin,
}

#[derive(Clone, Debug, Default, Serialize)]
struct TableRow {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_seconds: Option<Recovery>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_measured: Option<String>,
}

/// Medians of the repetitions.
#[derive(Clone, Copy, Debug, Serialize)]
struct Figures {
    enqueue_per_second: f64,
    one_at_a_time_per_second: f64,
    sixteen_at_a_time_per_second: f64,
    pick_up_p50_ms: f64,
    pick_up_p99_ms: f64,
}

/// All contenders, in the order in which they were measured.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Table(Vec<TableRow>);

impl Table {
    pub(crate) fn add_rates(&mut self, name: &'static str, rates: &Rates) {
        let figures = Figures {
            enqueue_per_second: median(&rates.enqueue),
            one_at_a_time_per_second: median(&rates.one),
            sixteen_at_a_time_per_second: median(&rates.sixteen),
            pick_up_p50_ms: median(&rates.p50),
            pick_up_p99_ms: median(&rates.p99),
        };
        self.0.push(TableRow { name, figures: Some(figures), ..TableRow::default() });
    }

    pub(crate) fn add_failed(&mut self, name: &'static str, reason: String) {
        self.0.push(TableRow { name, not_measured: Some(reason), ..TableRow::default() });
    }

    pub(crate) fn set_recovery(&mut self, name: &str, recovery: Recovery) {
        if let Some(line) = self.0.iter_mut().find(|line| line.name == name) {
            line.recovery_seconds = Some(recovery);
        }
    }

    /// Returns the table as text for people.
    pub(crate) fn text(&self) -> String {
        let heads = ["enqueue", "1 at a time", "16 at a time", "pick-up p50", "pick-up p99", "after kill -9"];
        let mut out = format!("\n{:<24}", "side by side, one Redis");
        for head in heads {
            let _ = write!(out, " {head:>15}");
        }
        out.push('\n');
        for line in &self.0 {
            let _ = write!(out, "{:<24}", line.name);
            match &line.figures {
                Some(figures) => out.push_str(&figures.text()),
                None => out.push_str(" not measured"),
            }
            match line.recovery_seconds {
                Some(Recovery::After(seconds)) => {
                    let _ = write!(out, " {:>15}", format!("{} s", number(seconds)));
                }
                Some(Recovery::NotWithin) => {
                    let _ = write!(out, " {:>15}", format!("not in {} s", RECOVERY_TIMEOUT.as_secs()));
                }
                None => {}
            }
            out.push('\n');
        }
        out
    }
}

impl Figures {
    fn text(&self) -> String {
        let rates =
            [self.enqueue_per_second, self.one_at_a_time_per_second, self.sixteen_at_a_time_per_second];
        let mut out = String::new();
        for rate in rates {
            let _ = write!(out, " {:>15}", format!("{} /s", number(rate)));
        }
        for time in [self.pick_up_p50_ms, self.pick_up_p99_ms] {
            let _ = write!(out, " {:>15}", format!("{} ms", number(time)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmeasured_values_are_marked() {
        let mut table = Table::default();
        table.add_failed("gone", "no node".to_owned());
        let rates = Rates { enqueue: vec![3.0, 1.0, 2.0], p99: vec![1.5], ..Rates::default() };
        table.add_rates("there", &rates);
        table.set_recovery("there", Recovery::NotWithin);
        let text = table.text();
        assert!(text.contains("gone") && text.contains("not measured"), "{text}");
        assert!(text.contains("2 /s") && text.contains("1.50 ms") && text.contains("not in 180 s"), "{text}");
    }
}
