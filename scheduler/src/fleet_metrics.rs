//! Gauges of runners, workers, configs and webhooks, read from the database.

use std::collections::BTreeMap;

use runtime::series::{MAX_LABEL_VALUE, OTHER};

use crate::{Parts, StepError, gauges::ShownGauges};

/// Most versions of workers with a gauge of their own.
const MAX_VERSIONS: usize = 20;
/// Version of this program. Its gauge is always shown, so that a rule can compare a sum with zero.
const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Sets the gauges. Returns 0, since nothing was changed.
pub async fn run(parts: Parts, shown: ShownGauges) -> Result<u64, StepError> {
    let mut conn = parts.store.conn().await?;
    let fleet = conn.fleet().read().await?;
    let workers = conn.workers().list().await?;
    let syncs = conn.sync_runs().statuses().await?;
    drop(conn);
    let mut gauges = shown.begin();
    for row in &fleet.runners {
        let labels = [("installation", row.installation.as_str()), ("status", row.status.as_str())];
        gauges.count("rts_runners", &labels, row.runners);
    }
    for row in &fleet.unmanaged {
        let labels = [("installation", row.installation.as_str())];
        gauges.count("rts_runners_unmanaged", &labels, row.runners);
    }
    for sync in &syncs {
        let labels = [("installation", sync.installation.as_str())];
        gauges.count("rts_removals_held", &labels, sync.removals_held.max(0).unsigned_abs().into());
    }
    let live = workers.iter().filter(|worker| worker.alive);
    for (version, workers) in by_version(live.map(|worker| worker.version.as_str())) {
        gauges.count("rts_workers", &[("version", version)], workers);
    }
    gauges.count("rts_configs_sealed", &[], fleet.sealed_configs);
    gauges.set("rts_webhook_lag_seconds", &[], fleet.webhook_lag.as_secs_f64());
    gauges.end();
    Ok(0)
}

/// Returns the number of workers of each version. Versions come from rows, so their number is bounded here.
fn by_version<'w>(versions: impl Iterator<Item = &'w str>) -> BTreeMap<&'w str, u64> {
    let mut counts = BTreeMap::from([(OWN_VERSION, 0)]);
    for version in versions {
        let fits = version.len() <= MAX_LABEL_VALUE && counts.len() < MAX_VERSIONS;
        let shown = if fits || counts.contains_key(version) { version } else { OTHER };
        *counts.entry(shown).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_beyond_the_bound_are_counted_together() {
        let many: Vec<String> = (0..100).map(|n| format!("9.{n}")).collect();
        let counts = by_version(many.iter().map(String::as_str).chain([OWN_VERSION]));
        assert_eq!((counts.len(), counts[OWN_VERSION], counts[OTHER]), (MAX_VERSIONS + 1, 1, 81));
        assert_eq!(counts.values().sum::<u64>(), 101);
    }
}
