//! `rts ticket`: claim tickets, and their redemption by the machine that will be the runner.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};

use super::{
    nouns::TICKET,
    provision::{AWAY_PAUSE, Handover, HandoverArgs, PendingKey, is_resumable, sealing},
    resolve,
    values::{Fields, duration, pair},
};
use crate::{
    args::{CommonArgs, LimitArgs},
    completion,
    connection::{Answer, read_bounded},
    environment::Environment,
    error::ClientError,
    output::{
        Progress,
        print::{line, note},
        scalar,
    },
    session::Session,
};

/// Wait that one redemption asks the service for.
const ASKED_WAIT: Duration = Duration::from_secs(25);
/// Variable with the text of a ticket. The started program does not see it.
pub(crate) const TICKET_VARIABLE: &str = "RTS_TICKET";

/// Verbs of `rts ticket`.
#[derive(Debug, Subcommand)]
pub enum TicketVerb {
    /// Make a ticket for one runner of a machine that does not run yet. Its text is printed once.
    #[command(
        after_help = "Examples:\n  rts ticket create --label linux --address 10.1.0.0/16\n  rts ticket create --label gpu --issuer https://accounts.google.com --subject 1065… --life 1h\n\nOnly the text goes to stdout; `-o json` prints the whole ticket."
    )]
    Create(Box<CreateArgs>),
    /// List tickets, newest first. Their texts are not shown.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  rts ticket list\n  rts ticket list --state open --team web"
    )]
    List {
        /// Only tickets in this state: open, redeemed, expired or revoked.
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// Only tickets of this team, by name or id.
        #[arg(long, value_name = "TEAM", add = completion::teams())]
        team: Option<String>,
        #[command(flatten)]
        limit: LimitArgs,
    },
    /// Revoke open tickets.
    #[command(after_help = "Example:\n  rts ticket revoke 0192f0c4-…")]
    Revoke {
        /// Ids of the tickets.
        #[arg(value_name = "ID", required = true, num_args = 1..=100)]
        tickets: Vec<String>,
    },
    /// Redeem a ticket on the machine that will be the runner, and start the runner.
    #[command(
        after_help = "Examples:\n  rts ticket redeem --url https://runners.example.com --ticket-file /run/ticket --exec ./run.sh\n  RTS_TICKET=rtst_… rts ticket redeem --config-file jit.config\n\nNeeds no sign-in. After Ctrl-C, a restart or a lost answer, the command run again gets the same runner."
    )]
    Redeem(RedeemArgs),
}

/// Arguments of `rts ticket create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// A label of the runner, beside the team's own; repeat it.
    #[arg(short, long = "label", value_name = "LABEL", required = true, add = completion::labels())]
    labels: Vec<String>,
    /// Team of the runner, by name or id. Needed by members of several teams.
    #[arg(short, long, value_name = "TEAM", add = completion::teams())]
    team: Option<String>,
    /// Begin of the generated name.
    #[arg(long, default_value = "vm", value_name = "PREFIX")]
    prefix: String,
    /// GitHub's id of the runner group.
    #[arg(long, value_name = "ID")]
    group: Option<u64>,
    /// Work folder on the runner's machine.
    #[arg(long, value_name = "FOLDER")]
    work_folder: Option<String>,
    /// Time for which the ticket can be redeemed.
    #[arg(long, default_value = "15m", value_name = "DURATION", value_parser = duration)]
    life: Duration,
    /// An address or range that may redeem the ticket, as the service sees it; repeat it.
    #[arg(
        long = "address",
        value_name = "RANGE",
        help_heading = "Machine",
        required_unless_present = "issuer"
    )]
    addresses: Vec<String>,
    /// Issuer of the token that the machine must send.
    #[arg(long, value_name = "URL", help_heading = "Machine", requires = "subject")]
    issuer: Option<String>,
    /// Subject of that token; `*` and `?` are wildcards.
    #[arg(long, value_name = "PATTERN", help_heading = "Machine", requires = "issuer")]
    subject: Option<String>,
    /// A further claim of that token, as `name=value`; repeat it.
    #[arg(long = "claim", value_name = "NAME=VALUE", help_heading = "Machine", requires = "issuer", value_parser = pair)]
    claims: Vec<(String, String)>,
}

/// Arguments of `rts ticket redeem`.
#[derive(Debug, Args)]
pub struct RedeemArgs {
    /// File that holds the ticket, or `-` for stdin; by default the variable `RTS_TICKET` is read.
    #[arg(long, value_name = "FILE")]
    ticket_file: Option<PathBuf>,
    /// Longest wait for the config.
    #[arg(long, default_value = "15m", value_name = "DURATION", value_parser = duration)]
    wait: Duration,
    #[command(flatten)]
    handover: HandoverArgs,
}

/// Runs a verb.
pub(crate) async fn run(common: &CommonArgs, verb: TicketVerb) -> Result<(), ClientError> {
    match verb {
        TicketVerb::Create(args) => create(&Session::open(common)?, *args).await,
        TicketVerb::List { state, team, limit } => {
            let session = Session::open(common)?;
            let request = session.list_request(&TICKET).query("state", state).query("team", team);
            session.print_list(&TICKET, request, limit.into()).await
        }
        TicketVerb::Revoke { tickets } => {
            let session = Session::open(common)?;
            for ticket in tickets {
                let request =
                    session.client.request(Method::POST, &["runners", "tickets", &ticket, "revoke"]);
                let revoked = session.client.send(request).await?.body;
                session.print_done(&TICKET, &revoked, &format!("ticket {ticket} is revoked"));
            }
            Ok(())
        }
        TicketVerb::Redeem(args) => redeem(&Session::open_with_or_without_token(common)?, args).await,
    }
}

async fn create(session: &Session, args: CreateArgs) -> Result<(), ClientError> {
    let team = resolve::chosen_team(session, args.team.as_ref()).await?;
    let claims: BTreeMap<String, String> = args.claims.into_iter().collect();
    let identity = args.issuer.zip(args.subject);
    let identity =
        identity.map(|(issuer, subject)| json!({ "issuer": issuer, "subject": subject, "claims": claims }));
    let fields = Fields::default()
        .add("runner_name_prefix", Some(args.prefix))
        .list("labels", Some(args.labels))
        .add("team_id", team)
        .add("runner_group_id", args.group)
        .add("work_folder", args.work_folder)
        .add("expires_in_seconds", Some(args.life.as_secs()))
        .list("addresses", Some(args.addresses))
        .add("identity", identity);
    let made = session.change(Method::POST, &["runners", "tickets"], fields.into_body()).await?.body;
    if session.format.is_table() {
        note(format_args!(
            "ticket {} can be redeemed until {}",
            scalar(&made["ticket_id"]),
            scalar(&made["expires_at"])
        ));
        line(scalar(&made["ticket"]));
    } else {
        session.print_thing(&TICKET, &made);
    }
    Ok(())
}

/// Returns the text of the ticket. It is never an argument, which every user of the machine could read.
fn ticket_text(environment: &Environment, file: Option<&PathBuf>) -> Result<String, ClientError> {
    let text = match file {
        Some(path) if path.as_os_str() == "-" => std::io::read_to_string(std::io::stdin().lock())
            .map_err(|error| ClientError::Usage(format!("stdin: {error}")))?,
        Some(path) => read_bounded(path)
            .map_err(|error| ClientError::Usage(format!("{}: {error}", path.display())))?
            .ok_or_else(|| ClientError::Usage(format!("{} does not exist", path.display())))?,
        None => environment.get(TICKET_VARIABLE).unwrap_or_default().to_owned(),
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(ClientError::Usage(format!("no ticket: use --ticket-file, or set {TICKET_VARIABLE}")));
    }
    Ok(text.to_owned())
}

async fn redeem(session: &Session, args: RedeemArgs) -> Result<(), ClientError> {
    let ticket = ticket_text(&session.environment, args.ticket_file.as_ref())?;
    let handover = Handover::check(session, args.handover)?;
    let request = format!("{}\nticket {ticket}", session.client.url.as_str());
    let mut key = PendingKey::take(session.environment.state_folder().as_deref(), &request, true);
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| ClientError::Failed(format!("cannot listen for signals: {error}")))?;
    let config = tokio::select! {
        config = obtain(session, &ticket, &mut key, args.wait) => config,
        _ = interrupt.recv() => {
            let again = "interrupted; the same command gets the runner of this ticket";
            return Err(ClientError::Interrupted(again.to_owned()));
        }
    };
    if !config.as_ref().is_err_and(is_resumable) {
        key.release();
    }
    let mut config = config?;
    if handover.is_child()
        && let Some(members) = config.as_object_mut()
    {
        // Only the ticket's requester may remove the runner, so the end of the child does not ask for it.
        members.remove("runner_id");
    }
    handover.hand_over(session, &config).await
}

/// Redeems the ticket and waits for the config, by the same request again and again.
async fn obtain(
    session: &Session,
    ticket: &str,
    key: &mut PendingKey,
    wait: Duration,
) -> Result<Value, ClientError> {
    let deadline = Instant::now() + wait;
    let mut progress = Progress::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match send(session, ticket, key, ASKED_WAIT.min(left)).await {
            Ok(answer) if answer.status == 201 => return sealing::open(answer.body, key.pair()),
            Ok(answer) => progress.show(&format!("waiting: {}", scalar(&answer.body["state"]))),
            Err(error) if error.exit_code() == 3 => progress.show(&format!("waiting: {error}")),
            Err(error) => return Err(error),
        }
        if Instant::now() + AWAY_PAUSE >= deadline {
            return Err(ClientError::StillWaiting("the same command goes on with this ticket".to_owned()));
        }
        tokio::time::sleep(AWAY_PAUSE).await;
    }
}

async fn send(
    session: &Session,
    ticket: &str,
    key: &PendingKey,
    wait: Duration,
) -> Result<Answer, ClientError> {
    let mut body = json!({ "ticket": ticket });
    sealing::add_key(&mut body, key.pair());
    let request = session.client.request(Method::POST, &["runners", "tickets", "redeem"]).json(body);
    session.client.send(request.idempotency_key(key.as_str()).prefer_wait(wait)).await
}
