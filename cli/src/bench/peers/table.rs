//! The figures of the contenders side by side.

use std::fmt::Write;

use serde::Serialize;

use super::contest::BOUND;
use crate::bench::report::{median, number};

/// One contender's figures, one of each repetition.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// Jobs a second, 16 calls at once.
    pub(super) enqueue: Vec<f64>,
    /// Jobs that do nothing a second, one at a time.
    pub(super) one: Vec<f64>,
    /// Jobs that do nothing a second, 16 at a time.
    pub(super) sixteen: Vec<f64>,
    /// From adding a job to its start in an idle worker, in milliseconds.
    pub(super) p50: Vec<f64>,
    pub(super) p99: Vec<f64>,
}

/// When a killed worker's jobs were done.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Recovery {
    /// After so many seconds.
    After(f64),
    /// Not while it was waited for.
    NotWithin,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Line {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_seconds: Option<Recovery>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_measured: Option<String>,
}

/// Medians.
#[derive(Clone, Copy, Debug, Serialize)]
struct Figures {
    enqueue_per_second: f64,
    one_at_a_time_per_second: f64,
    sixteen_at_a_time_per_second: f64,
    pick_up_p50_ms: f64,
    pick_up_p99_ms: f64,
}

/// All contenders, in the order they were measured.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub(in crate::bench) struct Table(Vec<Line>);

impl Table {
    pub(super) fn rates(&mut self, name: &'static str, rates: &Rates) {
        let figures = Figures {
            enqueue_per_second: median(&rates.enqueue),
            one_at_a_time_per_second: median(&rates.one),
            sixteen_at_a_time_per_second: median(&rates.sixteen),
            pick_up_p50_ms: median(&rates.p50),
            pick_up_p99_ms: median(&rates.p99),
        };
        self.0.push(Line { name, figures: Some(figures), ..Line::default() });
    }

    pub(super) fn failed(&mut self, name: &'static str, why: String) {
        self.0.push(Line { name, not_measured: Some(why), ..Line::default() });
    }

    pub(super) fn recovery(&mut self, name: &str, recovery: Recovery) {
        if let Some(line) = self.0.iter_mut().find(|line| line.name == name) {
            line.recovery_seconds = Some(recovery);
        }
    }

    /// For people.
    pub(in crate::bench) fn text(&self) -> String {
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
                    let _ = write!(out, " {:>15}", format!("not in {} s", BOUND.as_secs()));
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
        table.failed("gone", "no node".to_owned());
        let rates = Rates { enqueue: vec![3.0, 1.0, 2.0], p99: vec![1.5], ..Rates::default() };
        table.rates("there", &rates);
        table.recovery("there", Recovery::NotWithin);
        let text = table.text();
        assert!(text.contains("gone") && text.contains("not measured"), "{text}");
        assert!(text.contains("2 /s") && text.contains("1.50 ms") && text.contains("not in 180 s"), "{text}");
    }
}
