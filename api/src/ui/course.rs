//! Course of the queue over an hour, a day or a month: open jobs, flow, and percentiles of waits and runs.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{FLOW_BOUNDS_MS, FLOW_BUCKETS, FlowCounts, FlowPoint, JobKind};
use store::FlowSpan;

use super::{
    chart::{self, Chart},
    format::{count, span},
};

/// A span that the board shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub(crate) enum Reach {
    #[default]
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "24h")]
    Day,
    #[serde(rename = "30d")]
    Month,
}

impl Reach {
    pub(crate) const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// Returns its name in the URL.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Month => "30d",
        }
    }

    /// Returns its name for people.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Hour => "1 hour",
            Self::Day => "24 hours",
            Self::Month => "30 days",
        }
    }

    /// Returns the length of one step in seconds, and the number of steps.
    pub(crate) const fn steps(self) -> (i64, i64) {
        match self {
            Self::Hour => (60, 60),
            Self::Day => (1800, 48),
            Self::Month => (43_200, 60),
        }
    }

    /// Returns the `viewBox` of a chart of its steps.
    pub(crate) fn view_box(self) -> String {
        chart::view_box(self.steps().1)
    }

    /// Returns the `viewBox` of a small chart of its steps.
    pub(crate) fn small_view_box(self) -> String {
        chart::small_view_box(self.steps().1)
    }

    /// Returns the whole span that ends with the step of `now`.
    pub(crate) fn span(self, now: DateTime<Utc>) -> FlowSpan {
        let (step, steps) = self.steps();
        let end = (now.timestamp().div_euclid(step) + 1) * step;
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or(now);
        FlowSpan { since: at(end - step * steps), until: at(end) }
    }
}

/// Course of the queue over one span.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) reach: Reach,
    pub(crate) rows: Vec<Row>,
    /// Open jobs at the end of each step.
    pub(crate) open: Chart,
    /// Accepted, done and failed jobs of each step.
    pub(crate) flow: Chart,
    /// Sums over the span.
    pub(crate) sum: FlowCounts,
    /// Percentiles of the requests for runners.
    pub(crate) waits: Option<Percentiles>,
    pub(crate) runs: Option<Percentiles>,
}

/// One step.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) at: DateTime<Utc>,
    pub(crate) counts: FlowCounts,
    /// Jobs that were accepted and had not ended at the end of the step.
    pub(crate) open: i64,
}

/// Percentiles of a histogram, as text.
#[derive(Debug)]
pub(crate) struct Percentiles {
    pub(crate) p50: String,
    pub(crate) p95: String,
    pub(crate) p99: String,
    /// Number of samples with its noun.
    pub(crate) samples: String,
}

impl Course {
    /// Returns the course of these points. `open_now` is the number of open jobs now: the course of their number
    /// follows from the jobs that were accepted and ended since.
    pub(crate) fn of(reach: Reach, span: FlowSpan, points: &[FlowPoint], open_now: i64) -> Self {
        let (step, steps) = reach.steps();
        let mut rows: Vec<Row> = (0..steps)
            .map(|nth| Row {
                at: span.since + TimeDelta::seconds(nth * step),
                counts: FlowCounts::default(),
                open: 0,
            })
            .collect();
        for point in points {
            let nth = (point.at - span.since).num_seconds().div_euclid(step);
            if let Some(row) = usize::try_from(nth).ok().and_then(|nth| rows.get_mut(nth)) {
                row.counts.add(&point.counts);
            }
        }
        let mut open = open_now;
        for row in rows.iter_mut().rev() {
            row.open = open.max(0);
            open -= row.counts.accepted - row.counts.ended();
        }
        let mut sum = FlowCounts::default();
        for row in &rows {
            sum.add(&row.counts);
        }
        let series = |value: fn(&Row) -> i64| rows.iter().map(value).collect::<Vec<i64>>();
        let flow = Chart::of(&[
            series(|row| row.counts.accepted),
            series(|row| row.counts.succeeded),
            series(|row| row.counts.failed + row.counts.expired),
        ]);
        let provisions = || points.iter().filter(|point| point.kind == JobKind::Provision.as_str());
        Self {
            reach,
            open: Chart::of(&[series(|row| row.open)]),
            flow,
            sum,
            waits: Percentiles::of(provisions().map(|point| &point.wait)),
            runs: Percentiles::of(provisions().map(|point| &point.run)),
            rows,
        }
    }
}

impl Percentiles {
    /// Returns the percentiles of the sum of histograms; `None` without a sample.
    fn of<'h>(histograms: impl Iterator<Item = &'h [i64; FLOW_BUCKETS]>) -> Option<Self> {
        let mut sum = [0; FLOW_BUCKETS];
        for histogram in histograms {
            sum.iter_mut().zip(histogram).for_each(|(sum, number)| *sum += number);
        }
        let samples: i64 = sum.iter().sum();
        let at = |percent| percentile(&sum, samples, percent);
        (samples > 0).then(|| Self {
            p50: at(50),
            p95: at(95),
            p99: at(99),
            samples: count(samples.unsigned_abs(), "sample", "samples"),
        })
    }
}

/// Returns a percentile: within its bucket the samples count as evenly spread.
#[expect(clippy::cast_precision_loss, reason = "times that people read")]
fn percentile(histogram: &[i64; FLOW_BUCKETS], samples: i64, percent: i64) -> String {
    let wanted = (samples * percent) as f64 / 100.0;
    let mut below = 0.0;
    for (nth, number) in histogram.iter().enumerate() {
        let number = *number as f64;
        if number > 0.0 && below + number >= wanted {
            let Some(upper) = FLOW_BOUNDS_MS.get(nth) else { break };
            let lower = nth.checked_sub(1).map_or(0, |nth| FLOW_BOUNDS_MS[nth]);
            let part = (wanted - below) / number;
            return span((lower as f64 + part * (upper - lower) as f64) / 1000.0);
        }
        below += number;
    }
    let last = FLOW_BOUNDS_MS.last().copied().unwrap_or_default();
    format!("over {}", span(last / 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: DateTime<Utc>, accepted: i64, succeeded: i64) -> FlowPoint {
        FlowPoint {
            at,
            installation: "default".into(),
            kind: "provision".into(),
            counts: FlowCounts { accepted, succeeded, ..FlowCounts::default() },
            wait: [0; FLOW_BUCKETS],
            run: [0; FLOW_BUCKETS],
        }
    }

    #[test]
    fn open_jobs_follow_from_what_came_and_ended() {
        let now = DateTime::from_timestamp(1_800_000_030, 0).unwrap();
        let span = Reach::Hour.span(now);
        assert_eq!((span.until - span.since).num_seconds(), 3600);
        let minute = |back| span.until - TimeDelta::minutes(back);
        let points = [point(minute(1), 5, 2), point(minute(2), 10, 0), point(minute(59), 1, 1)];
        let course = Course::of(Reach::Hour, span, &points, 13);
        let open: Vec<i64> = course.rows.iter().rev().take(3).map(|row| row.open).collect();
        assert_eq!(open, [13, 10, 0]);
        assert_eq!(course.sum.accepted, 16);
        assert_eq!(course.rows.len(), 60);
    }

    #[test]
    fn percentiles_are_within_their_bucket() {
        let mut histogram = [0; FLOW_BUCKETS];
        histogram[0] = 50;
        histogram[3] = 49;
        histogram[FLOW_BUCKETS - 1] = 1;
        assert_eq!(percentile(&histogram, 100, 50), "0.1 s");
        assert_eq!(percentile(&histogram, 100, 99), "1.0 s");
        assert_eq!(percentile(&histogram, 100, 100), "over 15 min");
        assert!(Percentiles::of(std::iter::empty()).is_none());
    }
}
