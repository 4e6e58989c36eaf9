//! Warnings about versions of the runner software that GitHub will soon refuse.

use domain::{AuditEntry, CutOff, InstallationId, SecurityEvent, Severity, VersionState};
use serde_json::json;
use store::VersionRow;

use crate::{Parts, StepError};

/// Versions queried per step and installation.
const MAX_VERSIONS_PER_STEP: i64 = 20;

/// Asks GitHub about every version in use, once a day each, and reports versions that will be refused soon. Returns the
/// number of reports.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    // A failure of one GitHub does not hold back reports about what is known.
    let mut failure = None;
    for installation in parts.installations.pools() {
        match fetch_cut_offs(&parts, installation).await {
            Ok(()) => {}
            Err(StepError::GitHub(error)) => failure = Some(error),
            Err(error) => return Err(error),
        }
    }
    parts.store.conn().await?.versions().forget().await?;
    let in_use = parts.store.conn().await?.versions().in_use().await?.items;
    let mut reported = 0;
    for row in &in_use {
        reported += u64::from(report(&parts, row).await?);
    }
    for state in [VersionState::Soon, VersionState::Deprecated] {
        let runners: i64 =
            in_use.iter().filter(|row| state_of(row) == state).map(|row| row.runners + row.stated).sum();
        let number = f64::from(i32::try_from(runners).unwrap_or(i32::MAX));
        metrics::gauge!("rts_runners_on_old_versions", "state" => state.as_str()).set(number);
    }
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(reported),
    }
}

fn state_of(row: &VersionRow) -> VersionState {
    row.cut_off().state(row.now)
}

async fn fetch_cut_offs(parts: &Parts, installation: &InstallationId) -> Result<(), StepError> {
    let due = parts.store.conn().await?.versions().due(installation, MAX_VERSIONS_PER_STEP).await?;
    for version in due {
        let usable = parts.installations.usable_app(&parts.queue, installation, &[]).await?;
        let Some((_, github)) = usable else { return Ok(()) };
        let deprecation = match github.get_runner_deprecation(&version).await {
            Ok(deprecation) => deprecation,
            Err(error) => {
                tracing::debug!(%installation, version, %error, "GitHub did not return the end dates of a runner version");
                return Err(error.into());
            }
        };
        let cut_off = deprecation.map_or_else(CutOff::default, |dates| CutOff {
            registration: dates.registration_deprecates_at,
            runtime: dates.runtime_deprecates_at,
        });
        parts.store.conn().await?.versions().record(installation, &version, cut_off).await?;
    }
    Ok(())
}

/// Reports a version once per state. Returns whether it was reported now.
async fn report(parts: &Parts, row: &VersionRow) -> Result<bool, StepError> {
    let state = state_of(row);
    let severity = match state {
        VersionState::Unknown | VersionState::Current => return Ok(false),
        VersionState::Soon => Severity::Low,
        VersionState::Deprecated => Severity::Medium,
    };
    if row.told.as_deref() == Some(state.as_str()) {
        return Ok(false);
    }
    let mut tx = parts.store.begin().await?;
    if !tx.versions().mark_reported(&row.installation, &row.version, state.as_str()).await? {
        return Ok(false);
    }
    tracing::warn!(installation = row.installation, version = row.version, runners = row.runners + row.stated,
        state = %state, "runners run a version that GitHub will soon refuse");
    let event = SecurityEvent { event_type: "runner_version_deprecated", severity, action_taken: "none" };
    let entry = AuditEntry {
        data: json!({
            "installation": row.installation,
            "version": row.version,
            "state": state,
            "runners": row.runners + row.stated,
            "registration_deprecates_at": row.registration_deprecates_at,
            "runtime_deprecates_at": row.runtime_deprecates_at,
        }),
        ..AuditEntry::service("runner.version")
    };
    tx.audit().alarm(&event, &entry).await?;
    tx.commit().await?;
    Ok(true)
}
