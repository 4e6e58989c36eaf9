//! Course of the queue's depth: samples of every lane, the largest of each minute, hours of them later.

use std::collections::BTreeMap;

use domain::{InstallationId, Lane};
use queue::LaneStats;
use store::DepthSample;

use crate::{Parts, StepError};

/// Rows that one step turns into hours, and rows of old hours that it removes.
const MAX_ROWS_PER_STEP: i64 = 5000;

/// Samples the lanes of all installations, also those without jobs: a minute without a row was not seen by any scheduler.
/// Returns 0, since no job was changed.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let lanes = parts.queue.stats().await?.lanes;
    let samples = samples(parts.installations.pools(), &lanes);
    let mut tx = parts.store.begin().await?;
    tx.queue_depths().add(&samples).await?;
    tx.queue_depths().roll_up(MAX_ROWS_PER_STEP).await?;
    tx.queue_depths().prune(MAX_ROWS_PER_STEP).await?;
    tx.commit().await?;
    Ok(0)
}

fn samples<'i>(
    configured: impl Iterator<Item = &'i InstallationId>,
    lanes: &[LaneStats],
) -> Vec<DepthSample> {
    let empty = |installation: &InstallationId, lane: Lane| DepthSample {
        installation: installation.clone(),
        lane,
        waiting: 0,
        delayed: 0,
        running: 0,
        oldest_ms: 0,
    };
    let known = configured.flat_map(|name| Lane::ALL.iter().map(|lane| empty(name, *lane)));
    let held = lanes.iter().map(|lane| DepthSample {
        waiting: lane.waiting,
        delayed: lane.delayed,
        running: lane.running,
        oldest_ms: if lane.waiting > 0 {
            u64::try_from(lane.oldest_age.as_millis()).unwrap_or(u64::MAX)
        } else {
            0
        },
        ..empty(&lane.installation, lane.lane)
    });
    // One statement may name each row once.
    let by_lane: BTreeMap<(InstallationId, Lane), DepthSample> =
        known.chain(held).map(|sample| ((sample.installation.clone(), sample.lane), sample)).collect();
    by_lane.into_values().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lanes_without_jobs_are_sampled_too() {
        let (home, gone): (InstallationId, InstallationId) =
            ("home".parse().unwrap(), "gone".parse().unwrap());
        let lane = |installation: &InstallationId, waiting| LaneStats {
            installation: installation.clone(),
            lane: Lane::Provision,
            waiting,
            delayed: 1,
            running: 2,
            oldest_age: Duration::from_secs(48),
        };
        let samples = samples([&home].into_iter(), &[lane(&home, 3), lane(&gone, 0)]);
        let facts: Vec<_> =
            samples.iter().map(|one| (one.installation.as_str(), one.waiting, one.oldest_ms)).collect();
        assert_eq!(samples.len(), Lane::ALL.len() + 1);
        assert!(facts.contains(&("home", 3, 48_000)) && facts.contains(&("gone", 0, 0)), "{facts:?}");
        assert!(facts.contains(&("home", 0, 0)), "{facts:?}");
    }
}
