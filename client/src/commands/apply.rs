//! `rts apply`, `rts diff`, `rts export` and `rts schema`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::values::Consent;
use crate::{
    error::ClientError,
    files::{Sources, print_plan, read_sources, write_yaml},
    output::print::{line, note},
    session::Session,
};

/// Examples of `rts diff`.
pub(crate) const DIFF_HELP: &str = "Examples:\n  rts diff -f teams.yaml\n  rts diff -f teams/ --prune -o json\n\nExits 7 if there are differences.";

/// Examples of `rts apply`.
pub(crate) const APPLY_HELP: &str = "Examples:\n  rts apply -f teams.yaml --dry-run\n  rts apply -f teams/ --prune --yes --reason 'quarterly review'\n\nA dry run with differences exits 7. docs/guides/policy-as-code.md describes the files.";

/// Files and their owner.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// A teams file, or a folder of `.yaml` and `.yml` files.
    #[arg(short, long, value_name = "FILE|DIR")]
    file: PathBuf,
    /// Owner of the files, whose name marks the rows.
    #[arg(long, default_value = "default", value_name = "NAME")]
    owner: String,
    /// End what this owner's files do not name any more.
    #[arg(long)]
    prune: bool,
}

/// Arguments of `rts apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    files: FileArgs,
    /// Show the plan and change nothing. Exits 7 if there are differences.
    #[arg(long)]
    dry_run: bool,
    /// Allow what a plan otherwise refuses.
    #[arg(long, value_enum, value_name = "WHAT")]
    allow: Vec<Allow>,
    /// Reason, for the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

/// What a plan does only if it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Allow {
    /// An admin loses the role or the access.
    RemoveAdmin,
    /// More than 20 % of the people lose their access or a team.
    Many,
}

/// Things that can be exported.
#[derive(Debug, Subcommand)]
pub enum ExportVerb {
    /// Print people, teams, members and machine clients as a teams file.
    #[command(after_help = "Examples:\n  rts export teams > teams.yaml\n  rts export teams -o json")]
    Teams,
}

/// Schemas of files.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum SchemaVerb {
    /// Print the JSON Schema of teams files.
    #[command(after_help = "Example:\n  rts schema teams > teams.schema.json")]
    Teams,
}

/// JSON Schema of teams files, as a test keeps it.
const TEAMS_SCHEMA: &str = include_str!("../../../docs/schemas/teams.json");

/// Applies files.
pub(crate) async fn apply(session: &Session, args: ApplyArgs) -> Result<(), ClientError> {
    let sources = read_sources(&args.files.file)?;
    let plan = send(session, &sources, &args, None).await?;
    let changes = count(&plan);
    let is_table = session.format.is_table();
    if args.dry_run || changes == 0 {
        print(session, &plan);
        return differences(changes);
    }
    if is_table {
        print_plan(&plan);
    }
    session.prompt.confirm(&format!("Make {changes} changes?"), args.consent.yes)?;
    let applied = send(session, &sources, &args, plan["plan"].as_str()).await?;
    if is_table {
        note(format_args!("Applied {} changes.", count(&applied)));
    } else {
        print(session, &applied);
    }
    Ok(())
}

/// Shows the differences between files and service.
pub(crate) async fn diff(session: &Session, files: FileArgs) -> Result<(), ClientError> {
    let sources = read_sources(&files.file)?;
    let args =
        ApplyArgs { files, dry_run: true, allow: Vec::new(), reason: None, consent: Consent { yes: false } };
    let plan = send(session, &sources, &args, None).await?;
    print(session, &plan);
    differences(count(&plan))
}

/// Sends the files: the plan alone, or with the id of the reviewed plan the application of it.
async fn send(
    session: &Session,
    sources: &Sources,
    args: &ApplyArgs,
    reviewed: Option<&str>,
) -> Result<Value, ClientError> {
    let body = json!({
        "documents": sources.documents(),
        "owner": args.files.owner,
        "prune": args.files.prune,
        "dry_run": reviewed.is_none(),
        "plan": reviewed,
        "allow": {
            "remove_admin": args.allow.contains(&Allow::RemoveAdmin),
            "many": args.allow.contains(&Allow::Many),
        },
        "comment": args.reason,
    });
    let sent = session.change(Method::POST, &["admin", "apply"], body).await;
    sent.map(|answer| answer.body).map_err(|error| with_places(sources, error))
}

/// Returns the error with the places of its values in the files.
fn with_places(sources: &Sources, error: ClientError) -> ClientError {
    let ClientError::Problem(mut problem) = error else { return error };
    for fault in &mut problem.errors {
        // Consents are options here.
        let option = match fault.pointer.as_str() {
            "/allow/remove_admin" => Some("--allow remove-admin".to_owned()),
            "/allow/many" => Some("--allow many".to_owned()),
            _ => None,
        };
        if let Some(place) = option.or_else(|| sources.place(&fault.pointer)) {
            fault.pointer = place;
        }
    }
    ClientError::Problem(problem)
}

fn count(plan: &Value) -> u64 {
    plan["counts"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
}

fn print(session: &Session, plan: &Value) {
    if session.format.is_table() {
        print_plan(plan);
    } else {
        line(plan);
    }
}

fn differences(changes: u64) -> Result<(), ClientError> {
    if changes == 0 {
        return Ok(());
    }
    let noun = if changes == 1 { "difference" } else { "differences" };
    Err(ClientError::Findings(format!("{changes} {noun}")))
}

/// Prints everything as a teams file.
pub(crate) async fn export(session: &Session, verb: ExportVerb) -> Result<(), ClientError> {
    let ExportVerb::Teams = verb;
    let export = session.get(&["admin", "export", "teams"]).await?;
    for remark in export["remarks"].as_array().into_iter().flatten() {
        note(crate::output::scalar(remark));
    }
    if session.format.is_table() {
        let file: domain::TeamsFile = serde_json::from_value(export["file"].clone())
            .map_err(|error| ClientError::Failed(format!("the answer cannot be read: {error}")))?;
        line(write_yaml(&file).map_err(ClientError::Failed)?.trim_end());
    } else {
        line(&export["file"]);
    }
    Ok(())
}

/// Prints a schema.
pub(crate) fn schema(verb: SchemaVerb) {
    let SchemaVerb::Teams = verb;
    line(TEAMS_SCHEMA.trim_end());
}
