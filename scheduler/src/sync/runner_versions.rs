//! GitHub takes a version of the runner software for some months only. Whoever runs an old one is told before it stops.

use domain::{AuditEntry, CutOff, InstallationId, SecurityEvent, Severity, VersionState};
use github::GitHub;
use installations::is_paused;
use serde_json::json;
use store::VersionRow;

use crate::{Parts, StepError};

/// Versions asked about in one step.
const MAX_VERSIONS_PER_STEP: i64 = 20;

/// Asks GitHub about every version in use, once a day each, and tells what will not be taken for much longer. Answers how
/// many were told.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    // What one GitHub does not say keeps nobody from being told what is known.
    let mut silent = None;
    for (installation, github) in parts.installations.iter() {
        match fetch(&parts, installation, github).await {
            Ok(()) => {}
            Err(StepError::GitHub(error)) => silent = Some(error),
            Err(error) => return Err(error),
        }
    }
    parts.store.conn().await?.versions().forget().await?;
    let in_use = parts.store.conn().await?.versions().in_use().await?.items;
    let mut told = 0;
    for row in &in_use {
        told += u64::from(report(&parts, row).await?);
    }
    for state in [VersionState::Soon, VersionState::Deprecated] {
        let runners: i64 =
            in_use.iter().filter(|row| state_of(row) == state).map(|row| row.runners + row.stated).sum();
        let number = f64::from(i32::try_from(runners).unwrap_or(i32::MAX));
        metrics::gauge!("rts_runners_on_old_versions", "state" => state.as_str()).set(number);
    }
    match silent {
        Some(error) => Err(error.into()),
        None => Ok(told),
    }
}

fn state_of(row: &VersionRow) -> VersionState {
    row.cut_off().state(row.now)
}

async fn fetch(parts: &Parts, installation: &InstallationId, github: &GitHub) -> Result<(), StepError> {
    let due = parts.store.conn().await?.versions().due(installation, MAX_VERSIONS_PER_STEP).await?;
    for version in due {
        if is_paused(&parts.queue, installation).await? {
            return Ok(());
        }
        let told = match github.get_runner_deprecation(&version).await {
            Ok(told) => told,
            Err(error) => {
                tracing::debug!(%installation, version, %error, "GitHub did not say how long it takes a version");
                return Err(error.into());
            }
        };
        let cut_off = told.map_or_else(CutOff::default, |told| CutOff {
            registration: told.registration_deprecates_at,
            runtime: told.runtime_deprecates_at,
        });
        parts.store.conn().await?.versions().record(installation, &version, cut_off).await?;
    }
    Ok(())
}

/// One event for each version and state.
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
        state = %state, "runners run software that GitHub will not take for much longer");
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
