//! Gauges of the queue's depth and age.

use crate::{Parts, StepError, gauges::ShownGauges};

/// Sets gauges for the depth and the oldest age of every lane. Returns 0, since nothing was changed.
pub async fn run(parts: Parts, shown: ShownGauges) -> Result<u64, StepError> {
    let lanes = parts.queue.stats().await?.lanes;
    let mut gauges = shown.begin();
    for lane in lanes {
        let labels = [("installation", lane.installation.as_str()), ("lane", lane.lane.as_str())];
        for (place, jobs) in [("waiting", lane.waiting), ("delayed", lane.delayed), ("running", lane.running)]
        {
            gauges.count("rts_queue_jobs", &[labels[0], labels[1], ("place", place)], jobs);
        }
        gauges.set("rts_queue_oldest_age_seconds", &labels, lane.oldest_age.as_secs_f64());
    }
    gauges.end();
    Ok(0)
}
