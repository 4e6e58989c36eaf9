//! `rts batch`.

mod follow;

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, Subcommand};
use domain::RunnerStatus;
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use self::follow::{describe, follow, note_items, show};
use super::{
    nouns::BATCH,
    resolve,
    values::{Consent, Fields, duration, read_lines, runner_status},
};
use crate::{
    completion,
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
        after_help = "Examples:\n  rts batch disable-users --team contractors --comment 'project X is over' --dry-run\n  rts batch disable-users --ids-from left.txt --comment 'they left the company' --yes\n\nYou, the last admin and, without --include-admins, every admin are spared."
    )]
    DisableUsers(Box<DisableUsersArgs>),
    /// Activate people again.
    #[command(
        after_help = "Example:\n  rts batch restore-users --id ada@example.com --comment 'deactivated by mistake'"
    )]
    RestoreUsers(Box<UsersArgs>),
    /// Remove runners from GitHub. A runner that runs a job is removed after it.
    #[command(
        after_help = "Examples:\n  rts batch delete-runners --status offline --comment 'left over by the outage' --dry-run\n  rts runner list --team web -o name | rts batch delete-runners --ids-from - --comment 'web moves away' --yes"
    )]
    DeleteRunners(Box<RunnersArgs>),
    /// Deactivate teams. Their runners stay.
    #[command(
        after_help = "Example:\n  rts batch deactivate-teams --search games- --comment 'the games are sold' --message 'ask the new owner'"
    )]
    DeactivateTeams(Box<DeactivateTeamsArgs>),
    /// Activate teams again.
    #[command(after_help = "Example:\n  rts batch reactivate-teams --id web --comment 'the budget is back'")]
    ReactivateTeams(Box<TeamsArgs>),
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

/// How long to follow a batch.
#[derive(Clone, Copy, Debug, Args)]
pub struct WaitArgs {
    /// Longest time to follow the batch. It goes on afterwards.
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = duration)]
    wait: Duration,
    /// Do not follow the batch to its end.
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
}

/// Items by name, and what is done with them.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("selector").required(true).multiple(true))]
pub(crate) struct BatchArgs {
    /// One item, by id or name; repeat it.
    #[arg(long = "id", value_name = "ID|NAME", group = "selector", conflicts_with = "all")]
    ids: Vec<String>,
    /// File with one id or name a line; `-` is stdin.
    #[arg(long, value_name = "FILE", group = "selector", conflicts_with = "all")]
    ids_from: Option<PathBuf>,
    /// All that the change could concern.
    #[arg(long, group = "selector")]
    all: bool,
    /// Reason, for the audit log; 10 characters or more.
    #[arg(long, visible_alias = "reason", value_name = "TEXT")]
    comment: String,
    /// Only show what it would concern.
    #[arg(long)]
    dry_run: bool,
    /// Refuse if the selector matches another number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    expected_count: Option<i64>,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    consent: Consent,
}

/// People.
#[derive(Debug, Args)]
pub struct UsersArgs {
    /// Members of this team, by name or id.
    #[arg(long, value_name = "TEAM", group = "selector", conflicts_with_all = ["ids", "ids_from", "all"], add = completion::teams())]
    team: Option<String>,
    #[command(flatten)]
    batch: BatchArgs,
}

/// People to deactivate.
#[derive(Debug, Args)]
pub struct DisableUsersArgs {
    #[command(flatten)]
    users: UsersArgs,
    /// Deactivate admins too. You and the last admin are spared.
    #[arg(long)]
    include_admins: bool,
}

/// Runners.
#[derive(Debug, Args)]
pub struct RunnersArgs {
    /// Runners of this team, by name or id.
    #[arg(long, value_name = "TEAM", group = "selector", conflicts_with_all = ["ids", "ids_from", "all"], add = completion::teams())]
    team: Option<String>,
    /// Runners of this person or machine client.
    #[arg(long, value_name = "IDENTITY", group = "selector", conflicts_with_all = ["ids", "ids_from", "all"])]
    user: Option<String>,
    /// Runners in this state.
    #[arg(long, visible_alias = "state", group = "selector", conflicts_with_all = ["ids", "ids_from", "all"], value_parser = runner_status)]
    status: Option<RunnerStatus>,
    #[command(flatten)]
    batch: BatchArgs,
}

/// Teams.
#[derive(Debug, Args)]
pub struct TeamsArgs {
    /// Teams with this text in name or description.
    #[arg(long, value_name = "TEXT", group = "selector", conflicts_with_all = ["ids", "ids_from", "all"])]
    search: Option<String>,
    /// Teams of this installation.
    #[arg(long, value_name = "NAME", group = "selector", conflicts_with_all = ["ids", "ids_from", "all"])]
    installation: Option<String>,
    #[command(flatten)]
    batch: BatchArgs,
}

/// Teams to deactivate.
#[derive(Debug, Args)]
pub struct DeactivateTeamsArgs {
    #[command(flatten)]
    teams: TeamsArgs,
    /// Reason that the teams' members see. Without it, the comment.
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
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

/// Runs a verb.
pub(crate) async fn run(session: &Session, verb: BatchVerb) -> Result<(), ClientError> {
    match verb {
        BatchVerb::DisableUsers(args) => {
            let DisableUsersArgs { users, include_admins } = *args;
            let filter = Fields::default().add("team", users.team);
            let filter = filter.add("exclude_admins", include_admins.then_some(false));
            start(session, &DISABLE_USERS, filter, users.batch).await
        }
        BatchVerb::RestoreUsers(args) => {
            let filter = Fields::default().add("team", args.team);
            start(session, &RESTORE_USERS, filter, args.batch).await
        }
        BatchVerb::DeleteRunners(args) => {
            let RunnersArgs { team, user, status, batch } = *args;
            let filter = Fields::default().add("team", team).add("user_identity", user);
            let filter = filter.add("status", status.map(RunnerStatus::as_str));
            start(session, &DELETE_RUNNERS, filter, batch).await
        }
        BatchVerb::DeactivateTeams(args) => {
            let DeactivateTeamsArgs { teams, message } = *args;
            let filter = team_filter(teams.search, teams.installation).add("reason", message);
            start(session, &DEACTIVATE_TEAMS, filter, teams.batch).await
        }
        BatchVerb::ReactivateTeams(args) => {
            let TeamsArgs { search, installation, batch } = *args;
            start(session, &REACTIVATE_TEAMS, team_filter(search, installation), batch).await
        }
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

fn team_filter(search: Option<String>, installation: Option<String>) -> Fields {
    Fields::default().add("q", search).add("installation", installation)
}

/// Previews a batch, asks for consent to the number of items, starts it for exactly that number and follows it.
async fn start(
    session: &Session,
    change: &Change,
    filter: Fields,
    batch: BatchArgs,
) -> Result<(), ClientError> {
    let BatchArgs { ids, ids_from, all, comment, dry_run, expected_count, wait, consent } = batch;
    let ids = named_ids(session, change, ids, ids_from).await?;
    let filter = filter.list(change.ids, ids).add("all", all.then_some(true)).add("comment", Some(comment));
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

/// Returns the ids that the arguments name; `None` if they name none.
async fn named_ids(
    session: &Session,
    change: &Change,
    mut names: Vec<String>,
    file: Option<PathBuf>,
) -> Result<Option<Vec<String>>, ClientError> {
    if let Some(file) = file {
        names.extend(read_lines(&file, MAX_IDS)?);
        if names.is_empty() {
            return Err(ClientError::Usage(format!("{} names nothing", file.display())));
        }
    }
    if names.len() > MAX_IDS {
        return Err(ClientError::Usage(format!("a batch takes {MAX_IDS} ids; start several")));
    }
    let mut ids = Vec::new();
    for name in &names {
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
