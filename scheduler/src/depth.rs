//! How deep the queue is, for the metrics.

use crate::{Parts, StepError};

/// Reads the depth and the oldest age of every lane into gauges. Answers 0: nothing was changed.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let stats = parts.spine.stats().await?;
    for lane in &stats.lanes {
        let installation = lane.installation.to_string();
        for (place, jobs) in [("waiting", lane.waiting), ("delayed", lane.delayed), ("running", lane.running)]
        {
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
    Ok(0)
}
