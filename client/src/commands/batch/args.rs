//! Arguments of `rts batch`.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};
use domain::RunnerStatus;
use uuid::Uuid;

use crate::{
    commands::values::{Consent, duration, runner_status},
    completion,
};

/// How long to follow a batch.
#[derive(Clone, Copy, Debug, Args)]
pub struct WaitArgs {
    /// Longest time to follow the batch. It goes on afterwards.
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = duration)]
    pub(super) wait: Duration,
    /// Do not follow the batch to its end.
    #[arg(long, conflicts_with = "wait")]
    pub(super) no_wait: bool,
}

/// Items by name, and what is done with them.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("selector").required(true).multiple(true))]
pub(crate) struct BatchArgs {
    /// One item, by id or name; repeat it.
    #[arg(long = "id", value_name = "ID|NAME", group = "selector", conflicts_with = "all")]
    pub(super) ids: Vec<String>,
    /// File with one id or name a line; `-` is stdin.
    #[arg(long, value_name = "FILE", group = "selector", conflicts_with = "all")]
    pub(super) ids_from: Option<PathBuf>,
    /// All that the change could concern.
    #[arg(long, group = "selector")]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) run: RunArgs,
}

/// What is done with the items.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Reason, for the audit log; 10 characters or more.
    #[arg(long, visible_alias = "reason", value_name = "TEXT")]
    pub(super) comment: String,
    /// Only show what it would concern.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Refuse if the selector matches another number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(super) expected_count: Option<i64>,
    #[command(flatten)]
    pub(super) wait: WaitArgs,
    #[command(flatten)]
    pub(super) consent: Consent,
}

/// People.
#[derive(Debug, Args)]
pub struct UsersArgs {
    /// Members of this team, by name or id.
    #[arg(long, value_name = "TEAM", group = "selector", conflicts_with_all = ["ids", "ids_from", "all"], add = completion::teams())]
    pub(super) team: Option<String>,
    /// People who fit filters, as in `team:web`. Words: `team:`.
    #[arg(long, value_name = "FILTERS", group = "selector", conflicts_with_all = ["ids", "ids_from", "all", "team"])]
    pub(super) select: Option<String>,
    #[command(flatten)]
    pub(super) batch: BatchArgs,
}

/// People to deactivate.
#[derive(Debug, Args)]
pub struct DisableUsersArgs {
    #[command(flatten)]
    pub(super) users: UsersArgs,
    /// Deactivate admins too. You and the last admin are spared.
    #[arg(long)]
    pub(super) include_admins: bool,
}

/// Runners.
#[derive(Debug, Args)]
pub struct RunnersArgs {
    /// Runners of this team, by name or id.
    #[arg(long, value_name = "TEAM", group = "selector", conflicts_with_all = ["ids", "ids_from", "all"], add = completion::teams())]
    pub(super) team: Option<String>,
    /// Runners of this person or machine client.
    #[arg(long, value_name = "IDENTITY", group = "selector", conflicts_with_all = ["ids", "ids_from", "all"])]
    pub(super) user: Option<String>,
    /// Runners in this state.
    #[arg(long, visible_alias = "state", group = "selector", conflicts_with_all = ["ids", "ids_from", "all"], value_parser = runner_status)]
    pub(super) status: Option<RunnerStatus>,
    /// Runners that fit filters, as in `team:web state:offline`. Words: `state:`, `team:`, `by:`.
    #[arg(long, value_name = "FILTERS", group = "selector", conflicts_with_all = ["ids", "ids_from", "all", "team", "user", "status"])]
    pub(super) select: Option<String>,
    #[command(flatten)]
    pub(super) batch: BatchArgs,
}

/// Teams.
#[derive(Debug, Args)]
pub struct TeamsArgs {
    /// Teams with this text in name or description.
    #[arg(long, value_name = "TEXT", group = "selector", conflicts_with_all = ["ids", "ids_from", "all"])]
    pub(super) search: Option<String>,
    /// Teams of this installation.
    #[arg(long, value_name = "NAME", group = "selector", conflicts_with_all = ["ids", "ids_from", "all"])]
    pub(super) installation: Option<String>,
    /// Teams that fit filters, as in `installation:games`. Words: `installation:`, `name:`.
    #[arg(long, value_name = "FILTERS", group = "selector", conflicts_with_all = ["ids", "ids_from", "all", "search", "installation"])]
    pub(super) select: Option<String>,
    #[command(flatten)]
    pub(super) batch: BatchArgs,
}

/// Teams to deactivate.
#[derive(Debug, Args)]
pub struct DeactivateTeamsArgs {
    #[command(flatten)]
    pub(super) teams: TeamsArgs,
    /// Reason that the teams' members see. Without it, the comment.
    #[arg(long, value_name = "TEXT")]
    pub(super) message: Option<String>,
}

/// Failed jobs.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("selector").required(true).multiple(true))]
pub struct JobsArgs {
    /// One job, by id; repeat it.
    #[arg(long = "id", value_name = "ID", group = "selector", conflicts_with = "code", add = completion::jobs())]
    pub(super) ids: Vec<Uuid>,
    /// File with one id a line; `-` is stdin.
    #[arg(long, value_name = "FILE", group = "selector", conflicts_with = "code")]
    pub(super) ids_from: Option<PathBuf>,
    /// Jobs that failed with this code and that no admin has dealt with.
    #[arg(long, value_name = "CODE", group = "selector")]
    pub(super) code: Option<String>,
    /// Of these, only jobs with this explanation, as `rts failures -o json` shows it.
    #[arg(long, value_name = "TEXT", requires = "code")]
    pub(super) detail: Option<String>,
    /// Of these, only jobs that ended within this time; by default 24 hours.
    #[arg(long, value_name = "DURATION", requires = "code", value_parser = duration)]
    pub(super) since: Option<Duration>,
    /// Of these, only jobs of this team, by name or id.
    #[arg(long, value_name = "TEAM", requires = "code", add = completion::teams())]
    pub(super) team: Option<String>,
    /// Jobs that fit filters, as in `error:github_refused since:2h`. Words: `error:`, `team:`, `since:`, `detail:`.
    #[arg(long, value_name = "FILTERS", group = "selector", conflicts_with_all = ["ids", "ids_from", "code", "detail", "since", "team"])]
    pub(super) select: Option<String>,
    #[command(flatten)]
    pub(super) run: RunArgs,
}
