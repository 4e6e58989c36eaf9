//! Course of the queue's depth by lane and installation: most waiting jobs and the largest age in each step.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use store::{DepthPoint, FlowSpan};

use super::{
    chart::{self, Line},
    course::Reach,
    format::{number, span},
};

/// Most lanes that are drawn.
const MAX_LANES: usize = 12;
/// Most rows of the table of numbers.
const MAX_NUMBERS: usize = 240;

/// Course of the depth over one span.
#[derive(Debug)]
pub(crate) struct DepthCourse {
    /// Lanes, those with the longest waits first.
    pub(crate) lanes: Vec<LaneCourse>,
    /// Number of lanes that are not drawn.
    pub(crate) hidden: usize,
}

/// Course of one lane of one installation.
#[derive(Debug)]
pub(crate) struct LaneCourse {
    pub(crate) lane: String,
    pub(crate) installation: String,
    /// Most waiting jobs at a time.
    pub(crate) most: String,
    pub(crate) waiting: Vec<Line>,
    /// Largest age of the oldest waiting job.
    pub(crate) oldest: String,
    pub(crate) ages: Vec<Line>,
    rank: (i64, i64),
}

/// Numbers of one lane in one step.
#[derive(Debug)]
pub(crate) struct DepthNumbers {
    pub(crate) at: DateTime<Utc>,
    pub(crate) lane: String,
    pub(crate) installation: String,
    pub(crate) waiting: String,
    pub(crate) delayed: String,
    pub(crate) running: String,
    pub(crate) oldest: String,
}

impl DepthCourse {
    /// Returns the course of these points. A step without a point is one that no scheduler saw: the line has a gap.
    pub(crate) fn of(reach: Reach, flow: FlowSpan, points: &[DepthPoint]) -> Self {
        let (step, steps) = reach.steps();
        let mut by_lane: BTreeMap<(&str, &str), Vec<Option<&DepthPoint>>> = BTreeMap::new();
        for point in points {
            let nth = usize::try_from((point.at - flow.since).num_seconds().div_euclid(step)).ok();
            let lane = by_lane.entry((point.installation.as_str(), point.lane.as_str()));
            let course = lane.or_insert_with(|| vec![None; usize::try_from(steps).unwrap_or_default()]);
            if let Some(place) = nth.and_then(|nth| course.get_mut(nth)) {
                *place = Some(point);
            }
        }
        let course = |((installation, lane), points): (&(&str, &str), &Vec<Option<&DepthPoint>>)| {
            lane_course(installation, lane, points)
        };
        let mut lanes: Vec<LaneCourse> = by_lane.iter().map(course).collect();
        lanes.sort_by_key(|lane| std::cmp::Reverse(lane.rank));
        let hidden = lanes.len().saturating_sub(MAX_LANES);
        lanes.truncate(MAX_LANES);
        Self { lanes, hidden }
    }
}

fn lane_course(installation: &str, lane: &str, points: &[Option<&DepthPoint>]) -> LaneCourse {
    let series = |of: fn(&DepthPoint) -> i64| -> Vec<Option<i64>> {
        points.iter().map(|point| point.map(of)).collect()
    };
    let (waiting, ages) = (series(|point| point.waiting), series(|point| point.oldest_ms));
    let top = |values: &[Option<i64>]| values.iter().flatten().copied().max().unwrap_or_default();
    let rank = (top(&ages), top(&waiting));
    LaneCourse {
        lane: lane.to_owned(),
        installation: installation.to_owned(),
        most: number(rank.1),
        oldest: age(rank.0),
        waiting: chart::sparkline(&waiting),
        ages: chart::sparkline(&ages),
        rank,
    }
}

fn age(milliseconds: i64) -> String {
    if milliseconds == 0 { "–".to_owned() } else { span(TimeDelta::milliseconds(milliseconds)) }
}

/// Returns the steps in which a lane had jobs that waited, newest first.
pub(crate) fn numbers(points: &[DepthPoint]) -> Vec<DepthNumbers> {
    let mut busy: Vec<&DepthPoint> =
        points.iter().filter(|point| point.waiting + point.delayed > 0).collect();
    busy.sort_by_key(|point| std::cmp::Reverse((point.at, point.oldest_ms)));
    let row = |point: &&DepthPoint| DepthNumbers {
        at: point.at,
        lane: point.lane.clone(),
        installation: point.installation.clone(),
        waiting: number(point.waiting),
        delayed: number(point.delayed),
        running: number(point.running),
        oldest: age(point.oldest_ms),
    };
    busy.iter().take(MAX_NUMBERS).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_that_nobody_saw_is_a_gap() {
        let now = DateTime::from_timestamp(1_800_000_030, 0).unwrap();
        let flow = Reach::Hour.span(now);
        let point = |minute, lane: &str, waiting, oldest_ms| DepthPoint {
            at: flow.since + TimeDelta::minutes(minute),
            installation: "home".into(),
            lane: lane.into(),
            waiting,
            delayed: 0,
            running: 1,
            oldest_ms,
        };
        let points = [
            point(0, "drift", 0, 0),
            point(0, "provision", 4, 2000),
            point(1, "provision", 8, 48_000),
            point(3, "provision", 2, 500),
        ];
        let course = DepthCourse::of(Reach::Hour, flow, &points);
        let names: Vec<&str> = course.lanes.iter().map(|lane| lane.lane.as_str()).collect();
        assert_eq!(names, ["provision", "drift"]);
        let first = &course.lanes[0];
        assert_eq!((first.most.as_str(), first.oldest.as_str(), first.waiting.len()), ("8", "48 s", 2));
        let numbers = numbers(&points);
        assert_eq!(numbers.len(), 3);
        assert_eq!(numbers[0].waiting, "2");
    }
}
