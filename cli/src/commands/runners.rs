//! `rts sync-github`, `rts list-runners`, `rts cleanup-stale-runners`.

use anyhow::Context;
use chrono::{SecondsFormat, TimeDelta};
use comfy_table::{Table, presets::NOTHING};
use domain::{InstallationId, Runner, TeamId, UserId};
use operations::Operations;
use runtime::config::{JobsConfig, Sources};
use serde_json::{Value, json};
use store::{Page, RunnerFilter, Store, Visible};
use uuid::Uuid;

use super::access::refused;
use crate::{
    args::{CleanupStale, ListRunners, Output},
    exit::End,
    output, process, wiring,
};

/// Requests a sync of one installation or of all, and records who approved removals.
pub(crate) async fn sync(
    sources: &Sources,
    only: Option<&InstallationId>,
    confirm: bool,
) -> anyhow::Result<()> {
    let store = wiring::store(sources)?;
    let admin = process::administrator("rts sync-github");
    let asked = operations::request_sync(&store, &admin, only, confirm).await;
    let asked = asked.map_err(refused).context("cannot request a sync")?;
    anyhow::ensure!(!asked.is_empty(), "there is no such installation");
    let confirmed: Vec<&str> =
        asked.iter().filter(|one| one.confirmed).map(|one| one.installation.as_str()).collect();
    let installations: Vec<&str> = asked.iter().map(|one| one.installation.as_str()).collect();
    store.close().await;
    output::line(format_args!(
        "requested: {}; `GET /api/v1/admin/sync/status` shows the result",
        installations.join(", ")
    ));
    if confirm {
        let held = if confirmed.is_empty() {
            "none: no removals were held back".into()
        } else {
            confirmed.join(", ")
        };
        output::note(format_args!("removals confirmed: {held}"));
    }
    Ok(())
}

/// Lists runners.
pub(crate) async fn list(sources: &Sources, which: ListRunners) -> anyhow::Result<()> {
    let store = wiring::store(sources)?;
    let user = match &which.user {
        Some(text) => Some(person(&store, text).await?),
        None => None,
    };
    let team = which.team.map(TeamId::from);
    let filter = RunnerFilter { status: which.status, team, user, ..RunnerFilter::default() };
    let page = Page { limit: which.limit, offset: 0, before: None };
    let listed = store.conn().await?.runners().list(&Visible::everything(), &filter, page).await?;
    store.close().await;
    show(&listed.items, which.output)?;
    output::note(format_args!("{} of {}", listed.items.len(), listed.total));
    Ok(())
}

/// Returns the user with this e-mail address or id.
async fn person(store: &Store, text: &str) -> anyhow::Result<UserId> {
    let mut conn = store.conn().await?;
    let found = match text.parse::<Uuid>() {
        Ok(id) => conn.users().get(id.into()).await?,
        Err(_) => conn.users().by_email(text).await?,
    };
    let unknown = || End::Refused(format!("there is no user {text}; `rts list-users` shows all"));
    Ok(found.ok_or_else(unknown)?.id)
}

/// Orders the removal of every runner that has been offline for long, or only lists them. If the queue is unavailable,
/// the scheduler enqueues the jobs later.
pub(crate) async fn clean_up(sources: &Sources, which: CleanupStale) -> anyhow::Result<()> {
    let (store, queue) = (wiring::store(sources)?, wiring::queue(sources)?);
    let operations = Operations::new(&store, &queue);
    let configured = sources.section::<JobsConfig>()?.stale_after;
    let age = match which.hours {
        Some(hours) => TimeDelta::hours(hours.into()),
        None => TimeDelta::from_std(configured)?,
    };
    let stale = operations.list_stale_runners(age).await.map_err(refused)?;
    show(&stale, which.output)?;
    if which.dry_run {
        output::note(format_args!("{} would be removed", stale.len()));
    } else {
        let admin = process::administrator("rts cleanup-stale-runners");
        let ordered = operations.remove_stale_runners(&admin, age).await.map_err(refused)?;
        let jobs = ordered.jobs;
        output::note(format_args!("{jobs} are being removed; those that are back by then are left alone"));
        if let Some(error) = ordered.queue_error {
            output::note(format_args!(
                "they are removed once the queue is back: {:#}",
                anyhow::Error::from(error)
            ));
        }
    }
    store.close().await;
    Ok(())
}

fn show(runners: &[Runner], output: Output) -> anyhow::Result<()> {
    match output {
        Output::Table => output::line(table(runners)),
        Output::Json => {
            let rows: Vec<Value> = runners.iter().map(row).collect();
            output::line(serde_json::to_string_pretty(&rows)?);
        }
    }
    Ok(())
}

pub(crate) fn table(runners: &[Runner]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "RUNNER",
        "NAME",
        "STATUS",
        "BUSY",
        "TEAM",
        "INSTALLATION",
        "LABELS",
        "CREATED",
    ]);
    for runner in runners {
        table.add_row([
            runner.id.to_string(),
            runner.name.clone(),
            runner.status.to_string(),
            if runner.busy { "yes" } else { "no" }.to_owned(),
            runner.team_name.clone(),
            runner.installation.to_string(),
            runner.labels.join(","),
            runner.created_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        ]);
    }
    table
}

/// Returns a runner with the API's field names.
fn row(runner: &Runner) -> Value {
    json!({
        "runner_id": runner.id,
        "runner_name": runner.name,
        "status": runner.status,
        "busy": runner.busy,
        "github_runner_id": runner.github_runner_id,
        "team_id": runner.team,
        "team_name": runner.team_name,
        "installation": runner.installation,
        "labels": runner.labels,
        "provisioned_by": runner.provisioned_by_name,
        "created_at": runner.created_at,
    })
}
