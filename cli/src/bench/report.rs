//! Figures, and how they are shown.

use std::fmt::Write;

use serde::Serialize;

use super::peers;

/// What a figure should be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
}

/// One figure: the median over the repetitions.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
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
    /// The median of what was measured, in this unit.
    pub(super) fn new(name: impl Into<String>, unit: &'static str, measured: &[f64]) -> Self {
        let value = median(measured);
        Self { name: name.into(), unit, value, target: None, met: None, yardstick: None, yardstick_is: None }
    }

    pub(super) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self.met = Some(match target {
            Target::AtLeast(least) => self.value >= least,
            Target::AtMost(most) => self.value <= most,
        });
        self
    }

    pub(super) fn yardstick(mut self, what: &'static str, measured: &[f64]) -> Self {
        self.yardstick = Some(median(measured));
        self.yardstick_is = Some(what);
        self
    }
}

/// The whole result.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    version: &'static str,
    optimised: bool,
    processors: usize,
    rows: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<peers::Table>,
}

impl Report {
    pub(super) fn new() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            optimised: !cfg!(debug_assertions),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            rows: Vec::new(),
            peers: None,
        }
    }

    pub(super) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Our queue beside others.
    pub(super) fn beside(&mut self, peers: peers::Table) {
        self.peers = Some(peers);
    }

    /// For people.
    pub(super) fn table(&self) -> String {
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
                row.target.map(|target| goal(target, row.unit)).unwrap_or_default(),
                row.met.map_or("", |met| if met { "met" } else { "MISSED" }),
                row.yardstick.map(|value| format!("{} {}", number(value), row.unit)).unwrap_or_default(),
                row.yardstick_is.unwrap_or_default(),
            );
            let _ = writeln!(out, "{}", line.trim_end());
        }
        out
    }
}

fn goal(target: Target, unit: &str) -> String {
    match target {
        Target::AtLeast(least) => format!("≥ {} {unit}", number(least)),
        Target::AtMost(most) => format!("≤ {} {unit}", number(most)),
    }
}

/// Three digits that matter, more for large numbers.
pub(super) fn number(value: f64) -> String {
    match value {
        v if v >= 100.0 || v.fract() == 0.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// The middle one; 0 of none.
pub(super) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which this part of all values lies (nearest rank); 0 of none.
pub(super) fn quantile(values: &[f64], part: f64) -> f64 {
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
    fn quantiles_of_small_lists() {
        let values = [5.0, 1.0, 3.0, 2.0, 4.0];
        assert!((median(&values) - 3.0).abs() < f64::EPSILON);
        assert!((quantile(&values, 0.99) - 5.0).abs() < f64::EPSILON);
        assert!(median(&[]).abs() < f64::EPSILON);
    }

    #[test]
    fn the_table_shows_missed_targets() {
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
