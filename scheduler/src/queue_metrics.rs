//! Gauges of the queue's depth and age.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{InstallationId, Lane};
use queue::LaneStats;

use crate::{Parts, StepError};

/// Lanes whose gauges are not zero. The queue forgets an installation without jobs, but a gauge keeps its last value
/// forever.
#[derive(Clone, Debug, Default)]
pub struct ShownLanes(Arc<Mutex<BTreeSet<(InstallationId, Lane)>>>);

impl ShownLanes {
    /// Stores the lanes that hold jobs now. Returns the lanes that no longer do.
    fn replace(&self, lanes: &[LaneStats]) -> Vec<(InstallationId, Lane)> {
        let now: BTreeSet<_> = lanes.iter().map(|lane| (lane.installation.clone(), lane.lane)).collect();
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = shown.difference(&now).cloned().collect();
        *shown = now;
        gone
    }
}

/// Sets gauges for the depth and the oldest age of every lane. Returns 0, since nothing was changed.
pub async fn run(parts: Parts, shown: ShownLanes) -> Result<u64, StepError> {
    let lanes = parts.queue.stats().await?.lanes;
    for (installation, lane) in shown.replace(&lanes) {
        let (waiting, delayed, running) = (0, 0, 0);
        set_gauges(&LaneStats { installation, lane, waiting, delayed, running, oldest_age: Duration::ZERO });
    }
    lanes.iter().for_each(set_gauges);
    Ok(0)
}

fn set_gauges(lane: &LaneStats) {
    let installation = lane.installation.to_string();
    for (place, jobs) in [("waiting", lane.waiting), ("delayed", lane.delayed), ("running", lane.running)] {
        let labels = [
            ("installation", installation.clone()),
            ("lane", lane.lane.to_string()),
            ("place", place.into()),
        ];
        metrics::gauge!("rts_queue_jobs", &labels).set(u32::try_from(jobs).unwrap_or(u32::MAX));
    }
    let labels = [("installation", installation), ("lane", lane.lane.to_string())];
    metrics::gauge!("rts_queue_oldest_age_seconds", &labels).set(lane.oldest_age.as_secs_f64());
}
