//! Charts drawn by the server, as SVG paths with attributes alone.
//!
//! One step is one unit wide, and a path names each point by its distance from the one before: about four bytes a point.

use std::fmt::Write;

use super::format::number;

/// Height of a drawing in its own units.
const HEIGHT: i64 = 120;
/// Height of a small drawing: it is read at a glance, and a page has many.
const SMALL_HEIGHT: i64 = 48;
/// Room of the line at the upper and lower edge.
const ROOM: i64 = 2;

/// Path of one line.
#[derive(Debug)]
pub(crate) struct Line {
    /// The line alone.
    pub(crate) path: String,
    /// The line with the area under it, for a path that is filled.
    pub(crate) filled: String,
}

/// A chart of one or more series with one scale.
#[derive(Debug)]
pub(crate) struct Chart {
    /// Its lines, in the order of the series.
    pub(crate) lines: Vec<Line>,
    /// Largest value, as text.
    pub(crate) top: String,
}

impl Chart {
    /// Returns the chart of these series. Values below zero are drawn as zero.
    pub(crate) fn of(series: &[Vec<i64>]) -> Self {
        let top = series.iter().flatten().copied().max().unwrap_or_default().max(1);
        let lines = series
            .iter()
            .map(|values| Scale { steps: values.len(), top, height: HEIGHT }.line(0, values))
            .collect();
        Self { lines, top: number(top) }
    }
}

/// Returns the lines of a small chart of one series: one for each part without a gap.
pub(crate) fn sparkline(values: &[Option<i64>]) -> Vec<Line> {
    let top = values.iter().flatten().copied().max().unwrap_or_default().max(1);
    let scale = Scale { steps: values.len(), top, height: SMALL_HEIGHT };
    let mut lines = Vec::new();
    let mut begin = 0;
    for part in values.split(Option::is_none) {
        let known: Vec<i64> = part.iter().flatten().copied().collect();
        if !known.is_empty() {
            lines.push(scale.line(begin, &known));
        }
        begin += part.len() + 1;
    }
    lines
}

/// Returns the `viewBox` of a drawing with this number of steps.
pub(crate) fn view_box(steps: i64) -> String {
    format!("0 0 {} {HEIGHT}", (steps - 1).max(1))
}

/// Returns the `viewBox` of a small drawing with this number of steps.
pub(crate) fn small_view_box(steps: i64) -> String {
    format!("0 0 {} {SMALL_HEIGHT}", (steps - 1).max(1))
}

/// Scale of a drawing.
struct Scale {
    /// Number of steps from left to right.
    steps: usize,
    /// Value at the upper edge.
    top: i64,
    /// Height of the drawing.
    height: i64,
}

impl Scale {
    /// Returns the line of values that begin at a step.
    fn line(&self, begin: usize, values: &[i64]) -> Line {
        let heights: Vec<i64> = values.iter().map(|value| self.distance(*value)).collect();
        let first = heights.first().copied().unwrap_or(self.height);
        let mut course = String::from("l");
        for pair in heights.windows(2) {
            let [before, after] = pair else { continue };
            let separator = if course.len() > 1 { " " } else { "" };
            let rise = after - before;
            let between = if rise < 0 { "" } else { " " };
            let _infallible = write!(course, "{separator}1{between}{rise}");
        }
        // A single point would be no line.
        if heights.len() < 2 {
            course.push_str("1 0");
        }
        let (path, height) = (format!("M{begin} {first}{course}"), self.height);
        // The sides of a part that reaches an edge of the drawing lie beyond it, where they are not seen.
        let start =
            if begin == 0 { format!("M-1 {height}V{first}h1") } else { format!("M{begin} {height}V{first}") };
        let reaches_end = begin + values.len() >= self.steps;
        let end = if reaches_end { "h1V" } else { "V" };
        let filled = format!("{start}{course}{end}{height}");
        Line { path, filled }
    }

    /// Returns the distance of a value from the upper edge.
    fn distance(&self, value: i64) -> i64 {
        let room = i128::from(self.height - 2 * ROOM);
        let filled = i128::from(value.clamp(0, self.top)) * room / i128::from(self.top);
        self.height - ROOM - i64::try_from(filled).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_scaled_to_the_largest_one() {
        let chart = Chart::of(&[vec![0, 5, 10, 10], vec![-3]]);
        assert_eq!(chart.top, "10");
        assert_eq!(chart.lines[0].path, "M0 118l1-58 1-58 1 0");
        assert_eq!(chart.lines[0].filled, "M-1 120V118h1l1-58 1-58 1 0h1V120");
        assert_eq!(chart.lines[1].path, "M0 118l1 0");
        assert_eq!(Chart::of(&[vec![]]).top, "1");
        assert_eq!(Chart::of(&[vec![i64::MAX, 0]]).lines[0].path, "M0 2l1 116");
    }

    #[test]
    fn small_chart_has_a_line_for_each_part_without_a_gap() {
        let lines = sparkline(&[Some(0), Some(2), None, None, Some(1)]);
        let filled: Vec<&str> = lines.iter().map(|line| line.filled.as_str()).collect();
        assert_eq!(filled, ["M-1 48V46h1l1-44V48", "M4 48V24l1 0h1V48"]);
        assert!(sparkline(&[None, None]).is_empty());
        assert_eq!((view_box(60), small_view_box(60)), ("0 0 59 120".into(), "0 0 59 48".into()));
    }
}
