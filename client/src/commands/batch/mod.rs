//! `rts batch`.

mod args;
mod follow;
mod select;

use std::path::Path;

use chrono::{SecondsFormat, Utc};
use clap::Subcommand;
use domain::{FilterWords, RunnerStatus};
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use self::{
    args::{
        BatchArgs, DeactivateTeamsArgs, DisableUsersArgs, JobsArgs, RunArgs, RunnersArgs, TeamsArgs,
        UsersArgs, WaitArgs,
    },
    follow::{describe, follow, note_items, show},
};
use super::{
    nouns::BATCH,
    resolve,
    values::{Fields, read_lines},
};
use crate::{
    error::ClientError,
    output::{print::note, scalar},
    session::{Limit, Session},
};

/// Most ids of one batch, as the service takes them.
const MAX_IDS: usize = 1000;

/// Verbs of `rts batch`.
#[derive(Debug, Subcommand)]
pub enum BatchVerb {
    /// Deactivate people.
    #[command(
        alias = "users-disable",
        after_help = "Examples:\n  rts batch disable-users --team contractors --comment 'project X is over' --dry-run\n  rts batch disable-users --ids-from left.txt --comment 'they left the company' --yes\n\nYou, the last admin and, without --include-admins, every admin are spared."
    )]
    DisableUsers(Box<DisableUsersArgs>),
    /// Activate people again.
    #[command(
        alias = "users-restore",
        after_help = "Example:\n  rts batch restore-users --id ada@example.com --comment 'deactivated by mistake'"
    )]
    RestoreUsers(Box<UsersArgs>),
    /// Remove runners from GitHub. A runner that runs a job is removed after it.
    #[command(
        alias = "runners-remove",
        after_help = "Examples:\n  rts batch delete-runners --status offline --comment 'left over by the outage' --dry-run\n  rts batch delete-runners --select 'team:web state:offline' --comment 'web moves away' --dry-run\n  rts runner list --team web -o name | rts batch delete-runners --ids-from - --comment 'web moves away' --yes"
    )]
    DeleteRunners(Box<RunnersArgs>),
    /// Deactivate teams. Their runners stay.
    #[command(
        alias = "teams-deactivate",
        after_help = "Example:\n  rts batch deactivate-teams --search games- --comment 'the games are sold' --message 'ask the new owner'"
    )]
    DeactivateTeams(Box<DeactivateTeamsArgs>),
    /// Activate teams again.
    #[command(
        alias = "teams-reactivate",
        after_help = "Example:\n  rts batch reactivate-teams --id web --comment 'the budget is back'"
    )]
    ReactivateTeams(Box<TeamsArgs>),
    /// Ask again for the runners of failed or expired jobs, each for its requester.
    #[command(
        after_help = "Examples:\n  rts batch retry-jobs --code github_unavailable --since 2h --comment 'GitHub is back' --dry-run\n  rts batch retry-jobs --ids-from jobs.txt --comment 'the group exists now' --yes\n\n`rts failures` lists the codes."
    )]
    RetryJobs(Box<JobsArgs>),
    /// Take failed or expired jobs off the list of failures. They stay in the history.
    #[command(
        after_help = "Example:\n  rts batch discard-jobs --code github_refused --team web --comment 'the repository is gone'"
    )]
    DiscardJobs(Box<JobsArgs>),
    /// List the newest batches.
    #[command(visible_alias = "ls", after_help = "Example:\n  rts batch list")]
    List,
    /// Show a batch and the outcome of its items, at most 1,000 at a time.
    #[command(
        after_help = "Examples:\n  rts batch show 0192f0c4-…\n  rts batch show 0192f0c4-… --after 1000 -o json"
    )]
    Show {
        /// The batch.
        batch: Uuid,
        /// Only items after this number.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
        after: Option<i32>,
    },
    /// Follow a batch to its end.
    #[command(after_help = "Example:\n  rts batch watch 0192f0c4-… --wait 1h")]
    Watch {
        /// The batch.
        batch: Uuid,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Stop a batch after the item that is being worked on. Changed items stay changed.
    #[command(after_help = "Example:\n  rts batch stop 0192f0c4-…")]
    Stop {
        /// The batch.
        batch: Uuid,
    },
    /// Let a stopped batch go on, in your name.
    #[command(after_help = "Example:\n  rts batch resume 0192f0c4-… --wait 1h")]
    Resume {
        /// The batch.
        batch: Uuid,
        #[command(flatten)]
        wait: WaitArgs,
    },
}

/// A change of many things.
struct Change {
    /// Last part of the call's path.
    action: &'static str,
    /// Member of the body that has the ids.
    ids: &'static str,
    /// What happens, for the question.
    verb: &'static str,
    /// What it happens to.
    things: &'static str,
}

const DISABLE_USERS: Change =
    Change { action: "disable-users", ids: "user_ids", verb: "deactivates", things: "people" };
const RESTORE_USERS: Change =
    Change { action: "restore-users", ids: "user_ids", verb: "activates", things: "people" };
const DELETE_RUNNERS: Change =
    Change { action: "delete-runners", ids: "runner_ids", verb: "removes", things: "runners" };
const DEACTIVATE_TEAMS: Change =
    Change { action: "deactivate-teams", ids: "team_ids", verb: "deactivates", things: "teams" };
const REACTIVATE_TEAMS: Change =
    Change { action: "reactivate-teams", ids: "team_ids", verb: "activates", things: "teams" };
const RETRY_JOBS: Change =
    Change { action: "retry-jobs", ids: "job_ids", verb: "asks again for the runners of", things: "jobs" };
const DISCARD_JOBS: Change =
    Change { action: "discard-jobs", ids: "job_ids", verb: "discards", things: "jobs" };

/// Runs a verb.
pub(crate) async fn run(session: &Session, verb: BatchVerb) -> Result<(), ClientError> {
    match verb {
        BatchVerb::DisableUsers(args) => {
            let DisableUsersArgs { users, include_admins } = *args;
            let filter = filter_of(select::PEOPLE, users.select, Fields::default().add("team", users.team))?;
            let filter = filter.add("exclude_admins", include_admins.then_some(false));
            start(session, &DISABLE_USERS, filter, users.batch).await
        }
        BatchVerb::RestoreUsers(args) => {
            let filter = filter_of(select::PEOPLE, args.select, Fields::default().add("team", args.team))?;
            start(session, &RESTORE_USERS, filter, args.batch).await
        }
        BatchVerb::DeleteRunners(args) => {
            let RunnersArgs { team, user, status, select, batch } = *args;
            let filter = Fields::default().add("team", team).add("user_identity", user);
            let filter = filter.add("status", status.map(RunnerStatus::as_str));
            let filter = filter_of(select::RUNNERS, select, filter)?;
            start(session, &DELETE_RUNNERS, filter, batch).await
        }
        BatchVerb::DeactivateTeams(args) => {
            let DeactivateTeamsArgs { teams, message } = *args;
            let filter = team_filter(teams.search, teams.installation);
            let filter = filter_of(select::TEAMS, teams.select, filter)?.add("reason", message);
            start(session, &DEACTIVATE_TEAMS, filter, teams.batch).await
        }
        BatchVerb::ReactivateTeams(args) => {
            let TeamsArgs { search, installation, select, batch } = *args;
            let filter = filter_of(select::TEAMS, select, team_filter(search, installation))?;
            start(session, &REACTIVATE_TEAMS, filter, batch).await
        }
        BatchVerb::RetryJobs(args) => start_jobs(session, &RETRY_JOBS, *args).await,
        BatchVerb::DiscardJobs(args) => start_jobs(session, &DISCARD_JOBS, *args).await,
        BatchVerb::List => {
            let request = session.list_request(&BATCH);
            session.print_list(&BATCH, request, Limit { items: None }).await
        }
        BatchVerb::Show { batch, after } => {
            session.print_thing(&BATCH, &show(session, &batch.to_string(), after).await?);
            Ok(())
        }
        BatchVerb::Watch { batch, wait } => follow(session, &batch.to_string(), wait).await,
        BatchVerb::Stop { batch } => {
            let stopped = act(session, batch, "stop").await?;
            session.print_done(&BATCH, &stopped, &describe(&stopped));
            Ok(())
        }
        BatchVerb::Resume { batch, wait } => {
            act(session, batch, "resume").await?;
            follow(session, &batch.to_string(), wait).await
        }
    }
}

/// Returns the filters of `--select` if it was given, else those of the single options.
fn filter_of(words: FilterWords, select: Option<String>, options: Fields) -> Result<Fields, ClientError> {
    select.map_or(Ok(options), |text| select::read(words, &text))
}

fn team_filter(search: Option<String>, installation: Option<String>) -> Fields {
    Fields::default().add("q", search).add("installation", installation)
}

/// Starts a batch of the named items, of all, or of those that a filter selects.
async fn start(
    session: &Session,
    change: &Change,
    filter: Fields,
    batch: BatchArgs,
) -> Result<(), ClientError> {
    let BatchArgs { ids: mut names, ids_from, all, run } = batch;
    names.extend(read_names(ids_from.as_deref())?);
    let ids = resolve_names(session, change, &names).await?;
    preview_and_run(session, change, filter.list(change.ids, ids).add("all", all.then_some(true)), run).await
}

/// Starts a batch of the named jobs, or of those with a cause.
async fn start_jobs(session: &Session, change: &Change, args: JobsArgs) -> Result<(), ClientError> {
    let JobsArgs { ids, ids_from, code, detail, since, team, select, run } = args;
    let mut ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.extend(read_names(ids_from.as_deref())?);
    check_number(&ids)?;
    let since = since.map(|age| (Utc::now() - age).to_rfc3339_opts(SecondsFormat::Secs, true));
    let filter = Fields::default().add("code", code).add("detail", detail).add("since", since);
    let filter = filter_of(select::JOBS, select, filter.add("team", team))?;
    let filter = filter.list(change.ids, (!ids.is_empty()).then_some(ids));
    preview_and_run(session, change, filter, run).await
}

/// Previews a batch, asks for consent to the number of items, starts it for exactly that number and follows it.
async fn preview_and_run(
    session: &Session,
    change: &Change,
    filter: Fields,
    run: RunArgs,
) -> Result<(), ClientError> {
    let RunArgs { comment, dry_run, expected_count, wait, consent } = run;
    let filter = filter.add("comment", Some(comment));
    let path = ["admin", "batch", change.action];
    let preview = filter.clone().add("dry_run", Some(true)).into_body();
    let preview = session.change(Method::POST, &path, preview).await?.body;
    let count = preview["total"].as_i64().unwrap_or_default();
    if dry_run {
        session.print_done(&BATCH, &preview, &format!("would try {count} {}", change.things));
        if session.format.is_table() {
            note_items(&preview, |_| true);
        }
        return Ok(());
    }
    session.prompt.confirm(&format!("This {} {count} {}.", change.verb, change.things), consent.yes)?;
    // A person has seen the number. A script that says --yes has not, so the service's own limit holds for it.
    let expected = expected_count.or((!consent.yes).then_some(count));
    let body = filter.add("expected_count", expected).into_body();
    let started = session.change(Method::POST, &path, body).await?.body;
    let id = scalar(&started["id"]);
    if session.format.is_table() {
        note(format_args!("batch {id}"));
    }
    if wait.no_wait {
        session.print_done(&BATCH, &started, &describe(&started));
        return Ok(());
    }
    follow(session, &id, wait).await
}

/// Returns the lines of a file that names something; nothing without a file.
fn read_names(file: Option<&Path>) -> Result<Vec<String>, ClientError> {
    let Some(file) = file else { return Ok(Vec::new()) };
    let names = read_lines(file, MAX_IDS)?;
    if names.is_empty() {
        return Err(ClientError::Usage(format!("{} names nothing", file.display())));
    }
    Ok(names)
}

fn check_number(names: &[String]) -> Result<(), ClientError> {
    if names.len() > MAX_IDS {
        return Err(ClientError::Usage(format!("a batch takes {MAX_IDS} ids; start several")));
    }
    Ok(())
}

/// Returns the ids of the names; `None` if there are none.
async fn resolve_names(
    session: &Session,
    change: &Change,
    names: &[String],
) -> Result<Option<Vec<String>>, ClientError> {
    check_number(names)?;
    let mut ids = Vec::new();
    for name in names {
        ids.push(match change.ids {
            "user_ids" => resolve::user(session, name).await?,
            "runner_ids" => resolve::runner(session, name).await?,
            _ => resolve::team(session, name).await?,
        });
    }
    Ok((!ids.is_empty()).then_some(ids))
}

async fn act(session: &Session, batch: Uuid, verb: &str) -> Result<Value, ClientError> {
    let path = ["admin", "batch", &batch.to_string(), verb];
    Ok(session.client.send(session.client.request(Method::POST, &path)).await?.body)
}
