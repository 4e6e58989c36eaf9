//! Charts drawn by the server, as SVG with attributes alone.

use super::format::number;

/// Width and height of a chart in its own units.
pub(crate) const SIZE: (f64, f64) = (600.0, 120.0);
/// Width and height of a small chart.
const SMALL: (f64, f64) = (240.0, 32.0);

/// Points of one line, scaled to the drawing.
#[derive(Debug)]
pub(crate) struct Line {
    /// Points of the line, for `polyline`.
    pub(crate) points: String,
    /// The line closed along the bottom, for `polygon`.
    pub(crate) area: String,
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
            .map(|values| Scale { size: SIZE, steps: values.len(), top }.line(0, values))
            .collect();
        Self { lines, top: number(top) }
    }
}

/// Returns the lines of a small chart of one series: one for each part without a gap.
pub(crate) fn sparkline(values: &[Option<i64>]) -> Vec<Line> {
    let top = values.iter().flatten().copied().max().unwrap_or_default().max(1);
    let scale = Scale { size: SMALL, steps: values.len(), top };
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

/// Scale of a drawing.
struct Scale {
    size: (f64, f64),
    /// Number of steps from left to right.
    steps: usize,
    /// Value at the upper edge.
    top: i64,
}

impl Scale {
    /// Returns the line of values that begin at a step.
    #[expect(clippy::cast_precision_loss, reason = "pixels")]
    fn line(&self, begin: usize, values: &[i64]) -> Line {
        let (width, height) = self.size;
        let gaps = self.steps.saturating_sub(1).max(1) as f64;
        let x = |nth: usize| (begin + nth) as f64 / gaps * width;
        let y = |value: i64| height - value.max(0) as f64 / self.top as f64 * (height - 4.0) - 1.0;
        let point = |(nth, value): (usize, &i64)| format!("{:.1},{:.1}", x(nth), y(*value));
        let mut points: Vec<String> = values.iter().enumerate().map(point).collect();
        let mut end = x(values.len().saturating_sub(1));
        // A single point would be no line.
        if let [only] = values {
            end = x(0) + 1.0;
            points.push(format!("{end:.1},{:.1}", y(*only)));
        }
        let points = points.join(" ");
        let area = format!("{:.1},{height} {points} {end:.1},{height}", x(0));
        Line { points, area }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_scaled_to_the_largest_one() {
        let chart = Chart::of(&[vec![0, 5, 10], vec![-3]]);
        assert_eq!(chart.top, "10");
        assert_eq!(chart.lines[0].points, "0.0,119.0 300.0,61.0 600.0,3.0");
        assert_eq!(chart.lines[1].points, "0.0,119.0 1.0,119.0");
        assert_eq!(chart.lines[0].area, "0.0,120 0.0,119.0 300.0,61.0 600.0,3.0 600.0,120");
        assert_eq!(Chart::of(&[vec![]]).top, "1");
    }

    #[test]
    fn small_chart_has_a_line_for_each_part_without_a_gap() {
        let lines = sparkline(&[Some(0), Some(2), None, None, Some(1)]);
        let points: Vec<&str> = lines.iter().map(|line| line.points.as_str()).collect();
        assert_eq!(points, ["0.0,31.0 60.0,3.0", "240.0,17.0 241.0,17.0"]);
        assert!(sparkline(&[None, None]).is_empty());
    }
}
