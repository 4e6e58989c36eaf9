//! `rts doctor`.

mod github;
mod issuers;
mod pools;
mod settings;

use std::path::{Path, PathBuf};

use chrono::Utc;
use client::ClientError;
use operations::doctor::{Finding, Level};
use runtime::config::{Mode, Sources};
use serde_json::{Value, json};

use crate::{args::Output, output, wiring};

/// Groups of checks, in the order in which they run.
pub(crate) const GROUPS: &[&str] = &[
    "settings",
    "files",
    "clock",
    "postgres",
    "redis",
    "issuers",
    "github",
    "webhooks",
    "processes",
    "sync",
    "versions",
    "events",
    "teams",
];

/// Arguments of `rts doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// Only this group of checks; repeat it.
    #[arg(long, value_name = "GROUP", value_parser = clap::builder::PossibleValuesParser::new(GROUPS))]
    only: Vec<String>,
    /// File with a bearer token to check against the issuers.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A table for people, or JSON for programs.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Runs the checks and prints what they find.
///
/// # Errors
/// [`ClientError::Findings`] if a part of the service does not work.
pub(crate) async fn run(config: Option<&Path>, args: &DoctorArgs) -> anyhow::Result<()> {
    let mut findings = match Sources::from_process(Mode::Production, config) {
        Ok(sources) => examine(&sources, args).await,
        Err(error) => vec![settings::unreadable(&error)],
    };
    findings.retain(|finding| args.only.is_empty() || args.only.iter().any(|only| only == finding.group));
    findings.sort_by_key(|finding| GROUPS.iter().position(|group| *group == finding.group));
    match args.output {
        Output::Table => findings.iter().for_each(output::line),
        Output::Json => {
            let rows: Vec<Value> = findings.iter().map(row).collect();
            output::line(serde_json::to_string_pretty(&rows)?);
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (faults, warnings) = (count(Level::Fail), count(Level::Warn));
    if faults > 0 {
        return Err(ClientError::Findings(format!("{faults} faults and {warnings} warnings")).into());
    }
    output::note(format_args!("no faults and {warnings} warnings in {} checks", findings.len()));
    Ok(())
}

/// Runs every group that is asked for. A group whose settings are wrong is left out: the settings' finding names it.
async fn examine(sources: &Sources, args: &DoctorArgs) -> Vec<Finding> {
    let wanted = |groups: &[&str]| {
        args.only.is_empty() || groups.iter().any(|group| args.only.iter().any(|only| only == group))
    };
    let mut findings = settings::examine(sources);
    let servers =
        ["clock", "postgres", "redis", "processes", "sync", "versions", "events", "teams", "github"];
    if wanted(&servers)
        && let (Ok(store), Ok(queue)) = (wiring::store(sources), wiring::queue(sources))
    {
        findings.extend(operations::doctor::examine(&store, &queue, Utc::now).await);
        store.close().await;
    }
    if wanted(&["issuers"]) || args.token_file.is_some() {
        findings.extend(issuers::examine(sources, args.token_file.as_deref()).await);
    }
    if wanted(&["files", "clock", "github", "webhooks"])
        && let Ok(installations) = wiring::installations(sources)
    {
        if wanted(&["github"]) {
            findings.extend(pools::examine(&installations).await);
        }
        for installation in installations {
            findings.extend(github::examine(sources, installation).await);
        }
    }
    findings
}

fn row(finding: &Finding) -> Value {
    json!({
        "group": finding.group,
        "level": finding.level.as_str(),
        "detail": finding.detail,
        "repair": finding.repair,
    })
}
