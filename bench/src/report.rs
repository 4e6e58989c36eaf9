//! Report: rows of figures with their targets and yardsticks, as a table or JSON.

use std::fmt::Write;

use serde::Serialize;

use crate::peers;

/// Bound that a figure should keep.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// One figure: the median of the repetitions.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    name: String,
    unit: &'static str,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    yardstick: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    yardstick_is: Option<&'static str>,
}

impl Row {
    /// Returns a row with the median of the measured values, in this unit.
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, measured: &[f64]) -> Self {
        let value = median(measured);
        Self { name: name.into(), unit, value, target: None, met: None, yardstick: None, yardstick_is: None }
    }

    /// Adds a target.
    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self.met = Some(match target {
            Target::AtLeast(least) => self.value >= least,
            Target::AtMost(most) => self.value <= most,
        });
        self
    }

    /// Adds a yardstick and its description.
    pub(crate) fn yardstick(mut self, description: &'static str, measured: &[f64]) -> Self {
        self.yardstick = Some(median(measured));
        self.yardstick_is = Some(description);
        self
    }
}

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    version: &'static str,
    optimised: bool,
    processors: usize,
    rows: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<peers::Table>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            optimised: !cfg!(debug_assertions),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            rows: Vec::new(),
            peers: None,
        }
    }

    pub(crate) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Sets the comparison with other queues, which replaces the rows in the table.
    pub(crate) fn set_peers(&mut self, peers: peers::Table) {
        self.peers = Some(peers);
    }

    /// Returns the report as a table for people.
    pub(crate) fn table(&self) -> String {
        let build = if self.optimised { "release build" } else { "debug build: figures mean little" };
        let mut out = format!(
            "\nRunner Token Service {}, {build}, {} processors, everything on this machine\n\n",
            self.version, self.processors
        );
        if let Some(peers) = &self.peers {
            out.push_str(&peers.text());
            return out;
        }
        let _ = writeln!(out, "{:<50} {:>15} {:>15} {:<7} {:>12}", "", "measured", "target", "", "yardstick");
        for row in &self.rows {
            let line = format!(
                "{:<50} {:>15} {:>15} {:<7} {:>12}  {}",
                row.name,
                format!("{} {}", number(row.value), row.unit),
                row.target.map(|target| target_text(target, row.unit)).unwrap_or_default(),
                row.met.map_or("", |met| if met { "met" } else { "MISSED" }),
                row.yardstick.map(|value| format!("{} {}", number(value), row.unit)).unwrap_or_default(),
                row.yardstick_is.unwrap_or_default(),
            );
            let _ = writeln!(out, "{}", line.trim_end());
        }
        out
    }
}

fn target_text(target: Target, unit: &str) -> String {
    match target {
        Target::AtLeast(least) => format!("≥ {} {unit}", number(least)),
        Target::AtMost(most) => format!("≤ {} {unit}", number(most)),
    }
}

/// Formats a number with about three significant digits.
pub(crate) fn number(value: f64) -> String {
    match value {
        v if v >= 100.0 || v.fract() == 0.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// Returns the median, or 0 if there are no values.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Returns the quantile by nearest rank, or 0 if there are no values.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a list of some thousand values"
    )]
    let at = (last as f64 * part).round() as usize;
    sorted.get(at).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_small_lists_are_their_nearest_rank() {
        let values = [5.0, 1.0, 3.0, 2.0, 4.0];
        assert!((median(&values) - 3.0).abs() < f64::EPSILON);
        assert!((quantile(&values, 0.99) - 5.0).abs() < f64::EPSILON);
        assert!(median(&[]).abs() < f64::EPSILON);
    }

    #[test]
    fn table_marks_missed_targets() {
        let mut report = Report::new();
        report.push(Row::new("accept rate", "/s", &[900.0]).target(Target::AtLeast(1000.0)));
        report.push(
            Row::new("pick-up p50", "ms", &[1.234]).target(Target::AtMost(3.0)).yardstick("bare", &[0.5]),
        );
        let table = report.table();
        assert!(
            table.contains("900 /s") && table.contains("≥ 1000 /s") && table.contains("MISSED"),
            "{table}"
        );
        assert!(
            table.contains("1.23 ms") && table.contains(" met ") && table.contains("0.50 ms  bare"),
            "{table}"
        );
    }
}
