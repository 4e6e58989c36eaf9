//! Runners that a database restored from a backup has forgotten: GitHub lists them, and their names prove that a finished
//! job of ours requested them.
//!
//! A generated name encodes the id of its job, so no other software requests it. The reaper removes such a runner by its
//! own rules: never while it is online or busy. A runner whose job the backup does not have either is unmanaged.

use std::collections::{HashMap, HashSet};

use domain::{InstallationId, SeenRunner, has_generated_form};
use store::Tx;

use crate::StepError;

/// Names compared by one run; the next run compares others as soon as these are settled.
const MAX_NAMES_PER_RUN: usize = 5000;

/// Records a suspected call for each listed runner that only a finished job without any call can have requested.
pub(super) async fn suspect_calls(
    tx: &mut Tx,
    installation: &InstallationId,
    seen: &HashMap<i64, &SeenRunner>,
    ours: &HashSet<i64>,
) -> Result<(), StepError> {
    let unknown = seen.values().filter(|runner| !ours.contains(&runner.github_id));
    let names: Vec<String> = unknown
        .map(|runner| runner.name.to_lowercase())
        .filter(|name| has_generated_form(name))
        .take(MAX_NAMES_PER_RUN)
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let forgotten = tx.github_calls().suspect_forgotten(installation, &names).await?;
    if forgotten > 0 {
        tracing::warn!(%installation, runners = forgotten,
            "GitHub lists runners whose calls are not recorded here: was the database restored? \
             They are removed once they are offline");
    }
    Ok(())
}
