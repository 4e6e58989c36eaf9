//! How deep the queue is, for the metrics.

use crate::{Parts, StepError};

/// Reads the depth and the oldest age of every lane into gauges. Answers 0: nothing was changed.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let stats = parts.spine.stats().await?;
    for lane in &stats.lanes {
        let labels =
            [("installation", lane.installation.to_string()), ("lane", lane.lane.as_str().to_owned())];
        let places = [("waiting", lane.waiting), ("delayed", lane.delayed), ("running", lane.running)];
        for (place, jobs) in places {
            let [installation, name] = labels.clone();
            let gauge = metrics::gauge!("rts_queue_jobs", "place" => place, installation.0 => installation.1, name.0 => name.1);
            gauge.set(u32::try_from(jobs).unwrap_or(u32::MAX));
        }
        metrics::gauge!("rts_queue_oldest_age_seconds", &labels).set(lane.oldest_age.as_secs_f64());
    }
    Ok(0)
}
