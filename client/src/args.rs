//! Commands over the API and the options that they share.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::{
    commands::{
        apply::{ApplyArgs, ExportVerb, FileArgs, SchemaVerb},
        batch::BatchVerb,
        budget::BudgetArgs,
        call::CallArgs,
        event_delivery::EventDeliveryVerb,
        incident::IncidentVerb,
        job::JobVerb,
        lane::LaneVerb,
        machine_client::ClientVerb,
        overview::{ListArgs, SecurityVerb, TokenArgs, UnmanagedVerb, WhoamiArgs},
        policy::{ExplainArgs, PolicyVerb},
        profile::ProfileVerb,
        provision::ProvisionArgs,
        runner::RunnerVerb,
        sign_in::{LoginArgs, LogoutArgs},
        status::{FailureArgs, StatusArgs},
        sync::SyncVerb,
        team::TeamVerb,
        ticket::TicketVerb,
        top::TopArgs,
        user::UserVerb,
    },
    output::Format,
};

/// Service and identity.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ConnectionArgs {
    /// URL of the service. Otherwise `RTS_URL`, or the profile's.
    #[arg(long, global = true, value_name = "URL", help_heading = "Connection")]
    pub(crate) url: Option<String>,
    /// File with the bearer token. Otherwise `RTS_TOKEN`, GitHub Actions, `RTS_ID_TOKEN`, Kubernetes or the profile.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) token_file: Option<PathBuf>,
    /// Profile to use. Otherwise `RTS_PROFILE`, or the current one.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Connection")]
    pub(crate) profile: Option<String>,
}

/// Options of every command over the API.
#[derive(Clone, Debug, Default, Args)]
pub struct CommonArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// Output format.
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub(crate) output: Option<Format>,
    /// Format of an error on stderr: a sentence, or a problem document as JSON.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Output")]
    pub(crate) error_format: ErrorFormat,
}

impl CommonArgs {
    /// Returns whether the output is for programs.
    pub fn wants_json(&self) -> bool {
        matches!(self.output, Some(Format::Json | Format::Jsonl))
    }
}

/// Form in which an error is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ErrorFormat {
    /// A sentence for people.
    #[default]
    Text,
    /// The problem document as JSON.
    Json,
}

/// A noun with its verbs.
#[derive(Debug, Args)]
pub struct NounArgs<V: Subcommand> {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(subcommand)]
    pub(crate) verb: V,
}

impl<V: Subcommand> NounArgs<V> {
    /// Returns the form in which an error of this command is printed.
    pub const fn error_format(&self) -> ErrorFormat {
        self.common.error_format
    }

    /// Returns the options of every command, and the verb.
    pub fn into_parts(self) -> (CommonArgs, V) {
        (self.common, self.verb)
    }
}

/// A command without verbs.
#[derive(Debug, Args)]
pub struct PlainArgs<A: Args> {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(flatten)]
    pub(crate) args: A,
}

/// How much of a list to print.
#[derive(Clone, Copy, Debug, Args)]
pub struct LimitArgs {
    /// Most items to print.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print all items.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

impl From<LimitArgs> for crate::session::Limit {
    fn from(args: LimitArgs) -> Self {
        Self { items: (!args.all).then_some(args.limit as usize) }
    }
}

/// A command over the API.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Get a runner's config, and start the runner with it.
    #[command(after_help = crate::commands::provision::HELP)]
    Provision(PlainArgs<ProvisionArgs>),
    /// List, show, check and remove runners.
    Runner(NounArgs<RunnerVerb>),
    /// List, show, follow and cancel jobs, and fetch their configs.
    Job(NounArgs<JobVerb>),
    /// Make, list, revoke and redeem claim tickets, for machines that do not run yet.
    Ticket(NounArgs<TicketVerb>),
    /// Show and change teams and their members.
    Team(NounArgs<TeamVerb>),
    /// Show who you are to the service, and where your token comes from.
    #[command(after_help = "Examples:\n  rts whoami\n  rts whoami -o json")]
    Whoami(PlainArgs<WhoamiArgs>),
    /// Print the bearer token, for curl.
    #[command(
        after_help = "Examples:\n  curl -H \"Authorization: Bearer $(rts token)\" https://runners.example.com/api/v1/auth/me\n  rts token --audience runner-tokens"
    )]
    Token(PlainArgs<TokenArgs>),
    /// Sign in with a code or a browser, or store a token, in a profile.
    #[command(
        after_help = "Examples:\n  rts login --url https://runners.example.com\n  rts login --url https://runners.example.com --web\n  rts login --url https://runners.example.com --scopes openid,email,offline_access\n  my-token-tool | rts login --url https://runners.example.com --with-token\n\nThe token is in $XDG_STATE_HOME/rts/credentials.toml, which only you may read, and is sent to this URL alone. It is refreshed until the provider ends the session."
    )]
    Login(PlainArgs<LoginArgs>),
    /// Forget the token of a profile.
    #[command(after_help = "Examples:\n  rts logout\n  rts logout --all")]
    Logout(PlainArgs<LogoutArgs>),
    /// List, choose and remove profiles.
    Profile(NounArgs<ProfileVerb>),
    /// Send any call and print its answer.
    #[command(
        after_help = "Examples:\n  rts call GET /auth/me\n  rts call GET /runners -f status=offline --paginate\n  rts call POST /admin/queues/provision/pause -F seconds=600"
    )]
    Call(PlainArgs<CallArgs>),
    /// Show and change people.
    User(NounArgs<UserVerb>),
    /// Show and change machine clients.
    Client(NounArgs<ClientVerb>),
    /// Show the queue's lanes; pause and resume them.
    Lane(NounArgs<LaneVerb>),
    /// Show GitHub's limits as the service keeps them.
    #[command(
        after_help = "Examples:\n  rts budget\n  rts budget --watch\n  rts budget --watch --interval 10s -o jsonl >> budget.jsonl"
    )]
    Budget(PlainArgs<BudgetArgs>),
    /// Show in one sentence whether jobs move, and why not.
    #[command(
        after_help = "Examples:\n  rts status\n  rts status -o json\n\nExits 0 while jobs move and 3 when they do not start."
    )]
    Status(PlainArgs<StatusArgs>),
    /// Show the causes of failed jobs, each with an example and what to do.
    #[command(after_help = "Examples:\n  rts failures\n  rts failures --since 7d --team web -o wide")]
    Failures(PlainArgs<FailureArgs>),
    /// Show lanes, workers, running jobs and budgets, live.
    #[command(after_help = "Examples:\n  rts top\n  rts top --interval 5s\n  rts top --once")]
    Top(PlainArgs<TopArgs>),
    /// Show sync runs, ask for one, and approve held removals.
    Sync(NounArgs<SyncVerb>),
    /// Show runners on GitHub that did not come through this service.
    Unmanaged(NounArgs<UnmanagedVerb>),
    /// Show the runners' versions, and when GitHub refuses them.
    #[command(after_help = "Examples:\n  rts versions\n  rts versions -o json")]
    Versions(PlainArgs<ListArgs>),
    /// Show security events.
    Security(NounArgs<SecurityVerb>),
    /// Change many people, teams, runners or failed jobs at once, and follow it.
    Batch(NounArgs<BatchVerb>),
    /// End at once all that a team, an issuer, a person or a machine client could still do, and undo it.
    Incident(NounArgs<IncidentVerb>),
    /// Show how far the sinks have the events; send events again.
    EventDelivery(NounArgs<EventDeliveryVerb>),
    /// Show what the policy decides about a request, and why.
    #[command(after_help = crate::commands::policy::EXPLAIN_HELP)]
    Explain(PlainArgs<ExplainArgs>),
    /// Apply teams files: all of their changes or none.
    #[command(after_help = crate::commands::apply::APPLY_HELP)]
    Apply(PlainArgs<ApplyArgs>),
    /// Show the differences between teams files and the service.
    #[command(after_help = crate::commands::apply::DIFF_HELP)]
    Diff(PlainArgs<FileArgs>),
    /// Print what a file can describe.
    Export(NounArgs<ExportVerb>),
    /// Print the JSON Schema of files.
    Schema(NounArgs<SchemaVerb>),
    /// Test the policies of teams files.
    Policy(NounArgs<PolicyVerb>),
}

impl Command {
    /// Returns the form in which an error of this command is printed.
    pub fn error_format(&self) -> ErrorFormat {
        self.common().error_format
    }

    fn common(&self) -> &CommonArgs {
        match self {
            Self::Provision(command) => &command.common,
            Self::Runner(noun) => &noun.common,
            Self::Job(noun) => &noun.common,
            Self::Ticket(noun) => &noun.common,
            Self::Team(noun) => &noun.common,
            Self::Whoami(command) => &command.common,
            Self::Token(command) => &command.common,
            Self::Login(command) => &command.common,
            Self::Logout(command) => &command.common,
            Self::Profile(noun) => &noun.common,
            Self::Call(command) => &command.common,
            Self::User(noun) => &noun.common,
            Self::Client(noun) => &noun.common,
            Self::Lane(noun) => &noun.common,
            Self::Budget(command) => &command.common,
            Self::Versions(command) => &command.common,
            Self::Status(command) => &command.common,
            Self::Failures(command) => &command.common,
            Self::Top(command) => &command.common,
            Self::Sync(noun) => &noun.common,
            Self::Unmanaged(noun) => &noun.common,
            Self::Security(noun) => &noun.common,
            Self::Batch(noun) => &noun.common,
            Self::Incident(noun) => &noun.common,
            Self::EventDelivery(noun) => &noun.common,
            Self::Explain(command) => &command.common,
            Self::Apply(command) => &command.common,
            Self::Diff(command) => &command.common,
            Self::Export(noun) => &noun.common,
            Self::Schema(noun) => &noun.common,
            Self::Policy(noun) => &noun.common,
        }
    }
}
