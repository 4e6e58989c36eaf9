//! Charts drawn by the server, as SVG with attributes alone.

use std::fmt::Write;

use super::format::number;

/// Width and height of the drawing in its own units.
pub(crate) const SIZE: (f64, f64) = (600.0, 120.0);

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
        let lines = series.iter().map(|values| line(values, top)).collect();
        Self { lines, top: number(top) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "pixels")]
fn line(values: &[i64], top: i64) -> Line {
    let (width, height) = SIZE;
    let steps = values.len().saturating_sub(1).max(1) as f64;
    let mut points = String::new();
    for (index, value) in values.iter().enumerate() {
        let x = index as f64 / steps * width;
        let y = height - (*value).max(0) as f64 / top as f64 * (height - 4.0) - 1.0;
        let gap = if index == 0 { "" } else { " " };
        let _infallible = write!(points, "{gap}{x:.1},{y:.1}");
    }
    let area = format!("0,{height} {points} {width},{height}");
    Line { points, area }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_scaled_to_the_largest_one() {
        let chart = Chart::of(&[vec![0, 5, 10], vec![-3]]);
        assert_eq!(chart.top, "10");
        assert_eq!(chart.lines[0].points, "0.0,119.0 300.0,61.0 600.0,3.0");
        assert_eq!(chart.lines[1].points, "0.0,119.0");
        assert_eq!(Chart::of(&[vec![]]).top, "1");
    }
}
