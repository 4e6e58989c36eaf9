//! `rts init-db`, and the database steps at the start of other processes.

use std::time::Duration;

use anyhow::Context;
use chrono::TimeDelta;
use runtime::config::{JobsConfig, Sources};
use store::{Schema, Store, StoreError};
use tokio::time::{Instant, sleep};

use crate::{exit::End, output, wiring};

/// Time that a start waits for an unavailable database.
const MAX_DATABASE_WAIT: Duration = Duration::from_mins(1);
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// Interval between two log lines of one wait.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// Brings the tables up to date. With `app_role`, grants that role what the service needs and sets how long audit rows
/// are kept.
pub(crate) async fn init(sources: &Sources, app_role: Option<&str>) -> anyhow::Result<()> {
    let store = wiring::store(sources)?;
    store.ping().await?;
    refuse_without_privileges(&store).await?;
    store.migrate().await?;
    if let Some(role) = app_role {
        store.grant_to(role).await.context("cannot grant to the role of the service")?;
        let jobs: JobsConfig = sources.section()?;
        let keep = jobs.keep_audit.map(TimeDelta::from_std).transpose()?;
        store.keep_audit(keep).await?;
        let kept = keep.map_or_else(|| "for ever".to_owned(), |keep| format!("{} days", keep.num_days()));
        output::line(format_args!("{role} may run the service; audit rows are kept {kept}"));
    }
    store.close().await;
    output::line("the database is up to date");
    Ok(())
}

async fn refuse_without_privileges(store: &Store) -> anyhow::Result<()> {
    let may = store.may_migrate().await?;
    let advice =
        "the role of DATABASE_URL may not create tables; run `rts init-db` as the owner of the tables";
    if may { Ok(()) } else { Err(End::Refused(advice.to_owned()).into()) }
}

/// Waits until the database has every table that this version needs; only `rts api` and `rts init-db` change tables. A
/// newer database is accepted: a release only adds what the release before it does not need.
///
/// # Errors
/// Returns the database's error unless the database is unavailable.
pub(crate) async fn await_schema(store: &Store) -> anyhow::Result<()> {
    let mut reported: Option<Instant> = None;
    loop {
        let schema = store.schema().await;
        if let Ok(Schema::Ready) = schema {
            return Ok(());
        }
        let due = reported.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        match schema {
            Ok(Schema::Older { missing, first }) if due => tracing::warn!(
                missing,
                first,
                "the database is older than this version; waiting for `rts init-db` or an `rts api` of this version"
            ),
            Err(error @ StoreError::Unavailable(_)) if due => {
                tracing::warn!(error = &error as &dyn std::error::Error, "waiting for the database");
            }
            Ok(_) | Err(StoreError::Unavailable(_)) => {}
            Err(error) => return Err(error).context("the version of the database cannot be read"),
        }
        if due {
            reported = Some(Instant::now());
        }
        sleep(RETRY_PAUSE).await;
    }
}

/// Waits for the database, which may start later than this process, and brings the tables up to date. With a role that
/// may not do that, only checks that they are.
///
/// # Errors
/// Returns an error when the database stays unavailable, or when its tables are older than this program and the role
/// may not change them.
pub(crate) async fn migrate(store: &Store) -> anyhow::Result<()> {
    wait_for(store).await?;
    if store.may_migrate().await? {
        return Ok(store.migrate().await?);
    }
    match store.schema().await? {
        Schema::Ready => Ok(()),
        Schema::Older { missing, first } => Err(End::Unavailable(format!(
            "{missing} migrations from number {first} on are missing, and the role of DATABASE_URL may not apply them; run `rts init-db` as the owner of the tables first"
        ))
        .into()),
    }
}

/// Waits for a database that may start later than this process.
///
/// # Errors
/// Returns an error when the database stays unavailable for a minute, or refuses the connection.
pub(crate) async fn wait_for(store: &Store) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        match store.ping().await {
            Ok(()) => return Ok(()),
            Err(error @ StoreError::Unavailable(_)) if Instant::now() < until => {
                tracing::warn!(error = &error as &dyn std::error::Error, "waiting for the database");
                sleep(RETRY_PAUSE).await;
            }
            Err(error) => return Err(error).context("cannot start without the database"),
        }
    }
}
