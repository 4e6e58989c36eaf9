//! Flow of jobs over time: counts and histograms of a minute or an hour.

use chrono::{DateTime, Utc};

use crate::TeamId;

/// Upper bounds of the buckets of a histogram, in milliseconds. The last bucket has no bound.
pub const FLOW_BOUNDS_MS: [i64; 12] =
    [100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000, 900_000];

/// Number of buckets of a histogram.
pub const FLOW_BUCKETS: usize = FLOW_BOUNDS_MS.len() + 1;

/// Numbers of jobs that were accepted, started and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCounts {
    /// Accepted jobs.
    pub accepted: i64,
    /// Jobs that started for the first time.
    pub started: i64,
    /// Jobs that succeeded.
    pub succeeded: i64,
    /// Jobs that failed.
    pub failed: i64,
    /// Jobs that expired.
    pub expired: i64,
    /// Jobs that were cancelled.
    pub cancelled: i64,
}

impl FlowCounts {
    /// Adds the numbers of `other`.
    pub const fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.started += other.started;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.expired += other.expired;
        self.cancelled += other.cancelled;
    }

    /// Returns the number of jobs that ended.
    pub const fn ended(&self) -> i64 {
        self.succeeded + self.failed + self.expired + self.cancelled
    }
}

/// Flow of the jobs of one kind and one installation in one span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowPoint {
    /// Begin of the span.
    pub at: DateTime<Utc>,
    /// The installation, as text.
    pub installation: String,
    /// Kind of the jobs, as text.
    pub kind: String,
    /// Numbers of jobs.
    pub counts: FlowCounts,
    /// Times from acceptance to the first start, of the jobs that started.
    pub wait: [i64; FLOW_BUCKETS],
    /// Times from the newest start to the end, of the jobs that succeeded or failed.
    pub run: [i64; FLOW_BUCKETS],
}

/// Flow of the jobs of one team.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TeamFlow {
    /// The team.
    pub team: TeamId,
    /// Numbers of jobs.
    pub counts: FlowCounts,
}

/// Merges the points that fall into one step of `seconds` (at least 1). Points are sorted by time, installation and
/// kind.
pub fn merge_flow(points: Vec<FlowPoint>, seconds: i64) -> Vec<FlowPoint> {
    let seconds = seconds.max(1);
    let begin = |at: DateTime<Utc>| {
        let time = at.timestamp();
        DateTime::from_timestamp(time - time.rem_euclid(seconds), 0).unwrap_or(at)
    };
    let mut merged: Vec<FlowPoint> = Vec::new();
    let mut points: Vec<FlowPoint> =
        points.into_iter().map(|point| FlowPoint { at: begin(point.at), ..point }).collect();
    points.sort_by(|a, b| (a.at, &a.installation, &a.kind).cmp(&(b.at, &b.installation, &b.kind)));
    for point in points {
        match merged.last_mut() {
            Some(last)
                if (last.at, &last.installation, &last.kind)
                    == (point.at, &point.installation, &point.kind) =>
            {
                last.counts.add(&point.counts);
                last.wait.iter_mut().zip(point.wait).for_each(|(sum, number)| *sum += number);
                last.run.iter_mut().zip(point.run).for_each(|(sum, number)| *sum += number);
            }
            _ => merged.push(point),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(second: i64, kind: &str) -> FlowPoint {
        let mut wait = [0; FLOW_BUCKETS];
        wait[2] = 1;
        FlowPoint {
            at: DateTime::from_timestamp(second, 0).unwrap(),
            installation: "default".to_owned(),
            kind: kind.to_owned(),
            counts: FlowCounts { accepted: 1, failed: 2, ..FlowCounts::default() },
            wait,
            run: [1; FLOW_BUCKETS],
        }
    }

    #[test]
    fn points_of_one_step_are_added_up() {
        let points = vec![point(360, "a"), point(60, "a"), point(120, "b"), point(240, "a")];
        let merged = merge_flow(points, 300);
        let told: Vec<_> =
            merged.iter().map(|one| (one.at.timestamp(), one.kind.as_str(), one.counts.accepted)).collect();
        assert_eq!(told, [(0, "a", 2), (0, "b", 1), (300, "a", 1)]);
        assert_eq!((merged[0].wait[2], merged[0].run[0], merged[0].counts.ended()), (2, 2, 4));
    }
}
