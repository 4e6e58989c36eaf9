//! Commands that only show something: `whoami`, `token`, `worker`, `versions`, `unmanaged`, `security`.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::{
    nouns::{SECURITY, UNMANAGED, VERSION, WORKER},
    values::{Fields, PeriodArgs, Reason},
};
use crate::{
    args::{ErrorFormat, LimitArgs, PlainArgs},
    completion,
    error::ClientError,
    output::{
        Format, Noun,
        print::{line, note},
    },
    session::{Limit, Session},
};

/// Arguments of `rts whoami`.
#[derive(Debug, Args)]
pub struct WhoamiArgs {}

/// Arguments of `rts token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Audience that the token must be for. GitHub Actions issues one for it; a token from elsewhere is compared.
    #[arg(long, value_name = "AUDIENCE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    audience: Option<String>,
}

/// Arguments of a short list.
#[derive(Debug, Args)]
pub struct ListArgs {}

/// Verbs of `rts worker`, which without a verb is the process itself. So each verb has its own connection options.
#[derive(Debug, Subcommand)]
pub enum WorkerVerb {
    /// List the workers and what they do.
    #[command(visible_alias = "ls", after_help = "Examples:\n  rts worker list\n  rts worker list -o json")]
    List(PlainArgs<ListArgs>),
    /// Let a worker end its jobs and take no more. Its process stays up until you stop it.
    #[command(after_help = "Example:\n  rts worker drain worker-1 --reason 'the machine is replaced'")]
    Drain(PlainArgs<DrainArgs>),
}

/// Arguments of `rts worker drain`.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Name of the worker.
    name: String,
    #[command(flatten)]
    reason: Reason,
}

impl WorkerVerb {
    /// Returns the form in which an error of this command is printed.
    pub fn error_format(&self) -> ErrorFormat {
        match self {
            Self::List(plain) => plain.common.error_format,
            Self::Drain(plain) => plain.common.error_format,
        }
    }
}

/// Verbs of `rts unmanaged`.
#[derive(Debug, Subcommand)]
pub enum UnmanagedVerb {
    /// List runners on GitHub that did not come through this service.
    #[command(visible_alias = "ls", after_help = "Example:\n  rts unmanaged list --all -o jsonl")]
    List {
        #[command(flatten)]
        limit: LimitArgs,
    },
}

/// Verbs of `rts security`.
#[derive(Debug, Subcommand)]
pub enum SecurityVerb {
    /// List security events, newest first.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  rts security list --severity critical\n  rts security list --team web -o wide"
    )]
    List {
        /// Only events of this severity.
        #[arg(long, value_parser = ["low", "medium", "high", "critical"])]
        severity: Option<String>,
        /// Only events of this type.
        #[arg(long, value_name = "TYPE")]
        event_type: Option<String>,
        /// Only events of this team, by name or id.
        #[arg(long, value_name = "TEAM", add = completion::teams())]
        team: Option<String>,
        /// Only events of this identity.
        #[arg(long, value_name = "IDENTITY")]
        user: Option<String>,
        /// Only events that an admin has acknowledged, or only the others.
        #[arg(long, value_name = "BOOL")]
        acknowledged: Option<bool>,
        /// Only about this: a runner, a person or a machine client by the beginning of the name, or an event type.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[command(flatten)]
        period: PeriodArgs,
        #[command(flatten)]
        limit: LimitArgs,
    },
    /// Show a security event with all that was recorded.
    #[command(
        after_help = "Examples:\n  rts security show 0192f0c4-…\n  rts security show 0192f0c4-… -o json"
    )]
    Show {
        /// Id of the event.
        #[arg(value_name = "ID")]
        event: uuid::Uuid,
    },
    /// Acknowledge a security event: an admin has seen it.
    #[command(
        visible_alias = "acknowledge",
        after_help = "Example:\n  rts security ack 0192f0c4-… --note 'a test of ours'"
    )]
    Ack {
        /// Id of the event.
        #[arg(value_name = "ID")]
        event: uuid::Uuid,
        /// Note, for those who see the event later.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
}

/// `rts whoami`.
pub(crate) async fn whoami(session: &Session) -> Result<(), ClientError> {
    const ME: Noun = Noun { path: &["auth", "me"], key: "", name: "identity", paged: false, columns: &[] };
    let me = session.get(ME.path).await?;
    session.print_thing(&ME, &me);
    if session.format.is_table() {
        let source =
            session.client.identity().map(|identity| identity.source.to_string()).unwrap_or_default();
        note(format_args!("token from {source}, for {}", session.client.url.as_str()));
    }
    Ok(())
}

/// `rts token`.
pub(crate) async fn token(session: &Session, args: TokenArgs) -> Result<(), ClientError> {
    let identity = session.client.identity();
    let identity = identity.ok_or_else(|| ClientError::SignedOut("there is no token".to_owned()))?;
    let token = match &args.audience {
        Some(audience) => identity.token_for(audience).await?,
        None => identity.token().await?,
    };
    match session.format {
        Format::Json | Format::Jsonl => {
            line(json!({ "token": token.expose(), "source": identity.source.to_string() }))
        }
        Format::Table | Format::Wide | Format::Name => line(token.expose()),
    };
    Ok(())
}

/// `rts worker`.
pub(crate) async fn workers(session: &Session) -> Result<(), ClientError> {
    whole_list(session, &WORKER).await
}

/// `rts worker drain`.
pub(crate) async fn drain(session: &Session, args: DrainArgs) -> Result<(), ClientError> {
    let body = Fields::default().add("reason", args.reason.reason).into_body();
    session.change(Method::POST, &["admin", "workers", &args.name, "drain"], body).await?;
    let done = format!("{} takes no more jobs, within about ten seconds", args.name);
    session.print_done(&WORKER, &json!({ "name": args.name }), &done);
    Ok(())
}

/// `rts versions`.
pub(crate) async fn versions(session: &Session) -> Result<(), ClientError> {
    whole_list(session, &VERSION).await
}

/// `rts unmanaged`.
pub(crate) async fn unmanaged(session: &Session, verb: UnmanagedVerb) -> Result<(), ClientError> {
    let UnmanagedVerb::List { limit } = verb;
    session.print_list(&UNMANAGED, session.list_request(&UNMANAGED), limit.into()).await
}

/// `rts security`.
pub(crate) async fn security(session: &Session, verb: SecurityVerb) -> Result<(), ClientError> {
    match verb {
        SecurityVerb::List { severity, event_type, team, user, acknowledged, search, period, limit } => {
            let request = session.list_request(&SECURITY).query("q", search);
            let request = request.query("severity", severity).query("event_type", event_type);
            let request = request.query("team", team).query("user", user).query("acknowledged", acknowledged);
            session.print_list(&SECURITY, period.add_to(request), limit.into()).await
        }
        SecurityVerb::Show { event } => {
            let request = session.list_request(&SECURITY).query("q", Some(event));
            let found = session.client.send(request).await?.body;
            let unknown =
                || ClientError::NotFound(format!("there is no security event {event} that you may see"));
            let found =
                found[SECURITY.key].as_array().and_then(|events| events.first()).ok_or_else(unknown)?;
            session.print_thing(&SECURITY, found);
            Ok(())
        }
        SecurityVerb::Ack { event, note } => {
            let body = Fields::default().add("note", note).into_body();
            let id = event.to_string();
            let path = ["admin", "security-events", &id, "acknowledge"];
            let seen = session.change(Method::POST, &path, body).await?.body;
            session.print_done(&SECURITY, &seen, &format!("{event} is acknowledged"));
            Ok(())
        }
    }
}

async fn whole_list(session: &Session, noun: &Noun) -> Result<(), ClientError> {
    session.print_list(noun, session.list_request(noun), Limit { items: None }).await
}
