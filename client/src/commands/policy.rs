//! `rts policy test` and `rts explain`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use domain::{CaseOutcome, Check, TeamsFile};
use reqwest::Method;
use serde_json::{Value, json};

use super::values::Fields;
use crate::{
    args::CommonArgs,
    error::ClientError,
    files::{Sources, read_sources},
    output::{plain, print::line, print::note, scalar},
    session::Session,
};

/// Verbs of `rts policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyVerb {
    /// Decide the test cases of a teams file, without a server. Exits 7 if a case fails.
    #[command(
        after_help = "Examples:\n  rts policy test teams.yaml\n  rts policy test teams/ --against last-30d    # and the requests of the last 30 days, by the service"
    )]
    Test(TestArgs),
}

/// Arguments of `rts policy test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// A teams file, or a folder of `.yaml` and `.yml` files.
    #[arg(value_name = "FILE|DIR")]
    file: PathBuf,
    /// Also decide the past requests of each team, such as `last-30d`; at most 90 days. Exits 7 if one would be refused
    /// anew.
    #[arg(long, value_name = "last-Nd", value_parser = last_days)]
    against: Option<u32>,
}

/// Arguments of `rts explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Team, by name or id.
    #[arg(long, value_name = "NAME|ID")]
    team: Option<String>,
    /// A label; repeat it for more.
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// GitHub's runner group.
    #[arg(long, value_name = "ID")]
    group: Option<i64>,
    /// Repository of a workflow job that would run on the runner.
    #[arg(long, value_name = "OWNER/NAME")]
    repository: Option<String>,
    /// Workflow of this job.
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Person who would ask, by e-mail or id. For admins and viewers.
    #[arg(long = "as", value_name = "EMAIL|USER_ID", conflicts_with = "as_client")]
    as_user: Option<String>,
    /// Machine client that would ask, by client id or id. For admins and viewers.
    #[arg(long, value_name = "CLIENT_ID|ID")]
    as_client: Option<String>,
}

/// Examples of `rts explain`.
pub(crate) const EXPLAIN_HELP: &str = "Examples:\n  rts explain --team web --label linux --label gpu-a100\n  rts explain --as ada@example.com --label gpu-a100\n\nExits 4 if the request would be refused.";

fn last_days(text: &str) -> Result<u32, String> {
    let days = text.strip_prefix("last-").and_then(|rest| rest.strip_suffix('d'));
    let days = days.and_then(|days| days.parse().ok()).filter(|days| (1..=90).contains(days));
    days.ok_or_else(|| "last-1d to last-90d".to_owned())
}

/// Runs a verb of `rts policy`.
pub(crate) async fn run(common: &CommonArgs, verb: PolicyVerb) -> Result<(), ClientError> {
    let PolicyVerb::Test(args) = verb;
    let sources = read_sources(&args.file)?;
    let merged = sources.merged();
    let failed = run_cases(&sources, &merged)?;
    let refused = match args.against {
        Some(days) => replay_all(&Session::open(common)?, &merged, days).await?,
        None => 0,
    };
    match (failed, refused) {
        (0, 0) => Ok(()),
        (0, refused) => Err(ClientError::Findings(format!("{refused} past requests would be refused anew"))),
        (failed, _) => Err(ClientError::Findings(format!("{failed} cases failed"))),
    }
}

/// Decides all cases and returns the number of those that failed.
fn run_cases(sources: &Sources, merged: &TeamsFile) -> Result<usize, ClientError> {
    let (mut passed, mut failed) = (0, 0);
    for (place, case) in sources.cases() {
        let name = case.name.clone().unwrap_or_else(|| format!("{} {}", case.team, case.labels.join(",")));
        let name = plain(&name);
        let outcome = merged.decide(case).map_err(|fault| {
            ClientError::Usage(format!(
                "{place}: {}: {}",
                fault.pointer.trim_start_matches('/'),
                fault.detail
            ))
        })?;
        if outcome.passed {
            passed += 1;
            line(format_args!("ok    {name}"));
        } else {
            failed += 1;
            line(format_args!("FAIL  {name}"));
            line(format_args!("      {place}: expected {}, {}", plain(&case.expect), describe(&outcome)));
            outcome.checks.iter().for_each(|check| {
                line(format_args!("      {}", describe_check(check)));
            });
        }
    }
    note(format_args!("{passed} passed, {failed} failed"));
    Ok(failed)
}

fn describe(outcome: &CaseOutcome) -> String {
    let refusal = outcome.refusal.as_ref();
    refusal
        .map_or_else(|| "is allowed".to_owned(), |problem| format!("is refused: {}", problem.code.as_str()))
}

fn describe_check(check: &Check) -> String {
    let mark = if check.passed() { '✔' } else { '✖' };
    let subject = subject(&check.kind.to_string(), check.value.as_deref().unwrap_or_default());
    let rule = check.rule.as_ref().map(|rule| format!(" ({rule})")).unwrap_or_default();
    plain(&format!("{mark} {subject}: {}{rule}", check.detail))
}

/// Returns what a check is about. Some checks have no value.
fn subject(kind: &str, value: &str) -> String {
    if value.is_empty() { kind.to_owned() } else { format!("{kind} {value}") }
}

/// Replays the requests of every team, and returns the number of those that would be refused anew.
async fn replay_all(session: &Session, merged: &TeamsFile, days: u32) -> Result<u64, ClientError> {
    let mut refused = 0;
    for team in &merged.teams {
        let body = json!({ "team": team, "days": days });
        let answer = session.change(Method::POST, &["admin", "policies", "replay"], body).await?.body;
        let count = |kind: &str| answer[kind]["count"].as_u64().unwrap_or_default();
        refused += count("newly_refused");
        line(format_args!(
            "{}: {} requests, {} refused anew, {} allowed anew{}",
            plain(&team.name),
            answer["examined"],
            count("newly_refused"),
            count("newly_allowed"),
            if answer["complete"] == true { "" } else { " (the newest ones)" },
        ));
        for example in answer["newly_refused"]["examples"].as_array().into_iter().flatten() {
            line(format_args!(
                "  {}  {}  {}  {}",
                scalar(&example["at"]),
                scalar(&example["user_identity"]),
                scalar(&example["labels"]),
                scalar(&example["reasons"]),
            ));
        }
    }
    Ok(refused)
}

/// Explains a request.
pub(crate) async fn explain(session: &Session, args: ExplainArgs) -> Result<(), ClientError> {
    let for_others = args.as_user.is_some() || args.as_client.is_some();
    let body = Fields::default()
        .add("user", args.as_user)
        .add("client", args.as_client)
        .add("team", args.team.or_else(|| session.default_team.clone()))
        .list("labels", Some(args.labels))
        .add("runner_group_id", args.group)
        .add("repository", args.repository)
        .add("workflow", args.workflow);
    let path: &[&str] = if for_others { &["admin", "policies", "explain"] } else { &["policies", "explain"] };
    let answer = session.change(Method::POST, path, body.into_body()).await?.body;
    if session.format.is_table() {
        print_explanation(&answer);
    } else {
        line(&answer);
    }
    if answer["allowed"] == true {
        return Ok(());
    }
    Err(ClientError::NotFound(format!("refused: {}", scalar(&answer["code"]))))
}

fn print_explanation(answer: &Value) {
    for check in answer["checks"].as_array().into_iter().flatten() {
        let mark = if check["allowed"] == true { '✔' } else { '✖' };
        let rule = check["rule"].as_str().map(|rule| format!(" ({})", plain(rule))).unwrap_or_default();
        let subject = subject(&scalar(&check["check"]), &scalar(&check["value"]));
        line(format_args!("{mark} {subject}: {}{rule}", scalar(&check["detail"])));
    }
    for (kind, detail) in [("repository", "jobs of this repository"), ("workflow", "jobs of this workflow")] {
        let rule = &answer[kind];
        if rule.is_object() {
            let mark = if rule["allowed"] == true { '✔' } else { '✖' };
            line(format_args!("{mark} {kind}: {detail} {}", scalar(&rule["rule"])));
        }
    }
    if answer["allowed"] != true {
        let list = |value: &Value| -> String {
            let words: Vec<String> = value.as_array().into_iter().flatten().map(scalar).collect();
            words.join(", ")
        };
        let patterns = list(&answer["team"]["optional_label_patterns"]);
        if answer["code"] == "label_policy_violation" && !patterns.is_empty() {
            line(format_args!("  the team's patterns: {patterns}"));
        }
        let admins = list(&answer["admins"]);
        if !admins.is_empty() {
            line(format_args!("  ask {admins} (admins)"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_bounds() {
        assert_eq!(last_days("last-30d"), Ok(30));
        for text in ["30d", "last-0d", "last-91d", "last-d", "last--1d"] {
            assert!(last_days(text).is_err(), "{text}");
        }
    }
}
