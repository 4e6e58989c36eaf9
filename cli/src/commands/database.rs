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
/// Pause before a step of a start is repeated.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Interval at which a waiting process reads the version of the tables.
const SCHEMA_CHECK_INTERVAL: Duration = Duration::from_secs(2);
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
    if store.is_pooled() {
        let advice = "migrations cannot pass a pooler in transaction mode; run `rts init-db` with a DATABASE_URL of the server itself and without DATABASE_POOLER";
        return Err(End::Refused(advice.to_owned()).into());
    }
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
        sleep(SCHEMA_CHECK_INTERVAL).await;
    }
}

/// Brings the tables up to date. With a role that may not do that, only checks that they are.
///
/// # Errors
/// Returns an error when the database is unavailable, or when its tables are older than this program and the role may
/// not change them.
pub(crate) async fn migrate(store: &Store) -> anyhow::Result<()> {
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

/// Runs a step of a start, and repeats it every second while the database is unavailable: it may start later than this
/// process, or restart during the step.
///
/// # Errors
/// Returns the step's error if waiting does not help, or if a minute after the first failure the database is still
/// unavailable.
pub(crate) async fn retry_while_unavailable<F>(step: impl Fn() -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut until: Option<Instant> = None;
    loop {
        let error = match step().await {
            Err(error) if is_unavailable(&error) => error,
            ended => return ended,
        };
        match until {
            None => {
                tracing::warn!(error = format!("{error:#}"), "waiting for the database");
                until = Some(Instant::now() + MAX_DATABASE_WAIT);
            }
            Some(until) if Instant::now() < until => {}
            Some(_) => return Err(error.context("cannot start without the database")),
        }
        sleep(RETRY_PAUSE).await;
    }
}

fn is_unavailable(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(StoreError::Unavailable(_))))
}
