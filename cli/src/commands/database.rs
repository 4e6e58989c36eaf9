//! `rts init-db`, and what every start does to the database.

use std::time::Duration;

use anyhow::Context;
use runtime::config::Sources;
use store::{Store, StoreError};
use tokio::time::{Instant, sleep};

use crate::{assemble, say};

/// How long a start waits for a database that is away.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_secs(2);

/// Brings the tables up to date.
pub(crate) async fn init(sources: &Sources) -> anyhow::Result<()> {
    let store = assemble::store(sources)?;
    store.ping().await?;
    store.migrate().await?;
    store.close().await;
    say::line("the database is up to date");
    Ok(())
}

/// The same for a process that starts, perhaps before its database does.
pub(crate) async fn migrate(store: &Store) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        match store.ping().await {
            Ok(()) => break,
            Err(error @ StoreError::Unavailable(_)) if Instant::now() < until => {
                tracing::warn!(error = &error as &dyn std::error::Error, "waiting for the database");
                sleep(PAUSE).await;
            }
            Err(error) => return Err(error).context("cannot start without the database"),
        }
    }
    Ok(store.migrate().await?)
}
