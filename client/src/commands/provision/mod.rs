//! `rts provision`: from a request to a started runner.

mod child;
pub(crate) mod follow;
mod handover;
mod pending_key;
pub(crate) mod sealing;
mod several;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use reqwest::Method;
use serde_json::Value;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};

pub(crate) use handover::{Handover, HandoverArgs};
pub(crate) use pending_key::PendingKey;

use self::sealing::Seal;
use super::{
    resolve,
    values::{Fields, duration},
};
use crate::{
    completion,
    connection::Answer,
    error::ClientError,
    output::{Progress, print::note, scalar},
    session::Session,
};

/// Help below the options.
pub(crate) const HELP: &str = "\
Examples:
  rts provision --label linux --exec ./run.sh
  rts provision --label gpu --team web --config-file jit.config --wait 10m
  rts provision --label linux -o json > runner.json
  rts provision --label linux --count 5 --config-folder configs

The config is sealed to a key of this machine, so that neither the service nor its database can use it.
The config is handed to the child in ACTIONS_RUNNER_INPUT_JITCONFIG and is never on a command line. After Ctrl-C, a
restart or a lost answer, the command run again within 15 minutes gets the runner of the first one.
Exits with the code of the child, or 6 if the runner was not ready in time.";

/// Wait that the first request asks for. Most configs are ready by then.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// Pause before a request that could not be accepted is sent again.
pub(crate) const AWAY_PAUSE: Duration = Duration::from_secs(2);

/// Arguments of `rts provision`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Runner")]
pub struct ProvisionArgs {
    /// A label of the runner, beside the team's own; repeat it.
    #[arg(short, long = "label", value_name = "LABEL", required = true, add = completion::labels())]
    labels: Vec<String>,
    /// Team of the runner, by name or id. Needed by members of several teams.
    #[arg(short, long, value_name = "TEAM", add = completion::teams())]
    team: Option<String>,
    /// Begin of the generated name.
    #[arg(long, default_value = "ci", value_name = "PREFIX")]
    prefix: String,
    /// Exact name, instead of a generated one. A generated name is never used twice.
    #[arg(long, conflicts_with = "prefix", value_name = "NAME")]
    name: Option<String>,
    /// GitHub's id of the runner group.
    #[arg(long, value_name = "ID")]
    group: Option<u64>,
    /// Work folder on the runner's machine.
    #[arg(long, value_name = "FOLDER")]
    work_folder: Option<String>,
    /// Version of the runner software that you start; a warning is printed if GitHub soon refuses it.
    #[arg(long, value_name = "VERSION")]
    runner_version: Option<String>,
    /// Longest wait for the config.
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = duration)]
    wait: Duration,
    /// Only request the runner, and print its job.
    #[arg(long, conflicts_with_all = ["wait", "exec", "config_file", "config_fd", "config_folder"])]
    no_wait: bool,
    /// Number of equal runners, 1 to 50. Each has a config of its own.
    #[arg(
        long,
        default_value_t = 1,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=50),
        conflicts_with_all = ["name", "idempotency_key", "exec", "config_file", "config_fd"]
    )]
    count: u32,
    /// Key that stands for one runner. Without it, a key is made and remembered until the config is handed over.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Seal the config to a key that this command makes and keeps: the service cannot open it, and only this machine
    /// can. `auto` seals unless --idempotency-key is given, since other machines may know that key.
    #[arg(long, value_enum, default_value_t = Seal::Auto, value_name = "WHEN", help_heading = "Config")]
    seal: Seal,
    /// Write each config to a new file `NAME.jit` in this folder, which only you may read.
    #[arg(
        long,
        value_name = "FOLDER",
        help_heading = "Config",
        conflicts_with_all = ["config_file", "config_fd", "exec", "idempotency_key"]
    )]
    config_folder: Option<PathBuf>,
    #[command(flatten)]
    handover: HandoverArgs,
}

/// Runs the command.
pub(crate) async fn run(session: &Session, args: ProvisionArgs) -> Result<(), ClientError> {
    let body = request_body(session, &args).await?;
    if args.count > 1 || args.config_folder.is_some() {
        let destination = several::Destination::choose(session, args.config_folder, args.no_wait)?;
        let order = several::Order { body: &body, count: args.count, wait: args.wait, seal: args.seal };
        return several::run(session, &order, &destination).await;
    }
    let mut key = take_key(session, &body, &args)?;
    if args.no_wait {
        note(format_args!("idempotency key {}", key.as_str()));
        return request_only(session, &body, key, args.seal).await;
    }
    let handover = Handover::check(session, args.handover)?;
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| ClientError::Failed(format!("cannot listen for signals: {error}")))?;
    note(format_args!("idempotency key {}", key.as_str()));
    let config = tokio::select! {
        config = obtain(session, &body, &mut key, args.wait, args.seal) => config,
        _ = interrupt.recv() => {
            let again = "interrupted; the request goes on, and the same command gets its runner";
            return Err(ClientError::Interrupted(again.to_owned()));
        }
    };
    if !config.as_ref().is_err_and(is_resumable) {
        key.release();
    }
    let config = config?;
    for warning in config["warnings"].as_array().into_iter().flatten() {
        note(format_args!("warning: {}", scalar(&warning["detail"])));
    }
    let job = scalar(&config["job_id"]);
    let is_child = handover.is_child();
    let handed_over = handover.hand_over(session, &config).await;
    if is_child {
        sealing::remove(&session.environment, &job);
    }
    handed_over
}

fn take_key(session: &Session, body: &Value, args: &ProvisionArgs) -> Result<PendingKey, ClientError> {
    let state = session.environment.state_folder();
    let request = identify(session, body, args.seal);
    match (&args.idempotency_key, args.seal) {
        (Some(key), Seal::Always) => PendingKey::given_and_sealed(state.as_deref(), &request, key),
        (Some(key), Seal::Auto | Seal::Never) => Ok(PendingKey::given(key)),
        (None, seal) => Ok(PendingKey::take(state.as_deref(), &request, seal != Seal::Never)),
    }
}

async fn request_body(session: &Session, args: &ProvisionArgs) -> Result<Value, ClientError> {
    let team = resolve::chosen_team(session, args.team.as_ref()).await?;
    let prefix = args.name.is_none().then(|| args.prefix.clone());
    let fields = Fields::default()
        .add("runner_name", args.name.clone())
        .add("runner_name_prefix", prefix)
        .list("labels", Some(args.labels.clone()))
        .add("team_id", team)
        .add("runner_group_id", args.group)
        .add("work_folder", args.work_folder.clone())
        .add("runner_version", args.runner_version.clone());
    Ok(fields.into_body())
}

/// Returns a text that is equal for equal requests to one service.
fn identify(session: &Session, body: &Value, seal: Seal) -> String {
    let unsealed = if seal == Seal::Never { "\nunsealed" } else { "" };
    format!("{}\n{body}{unsealed}", session.client.url.as_str())
}

/// Whether the same key may still give a runner.
pub(crate) fn is_resumable(error: &ClientError) -> bool {
    matches!(error.exit_code(), 3 | 5 | 6)
}

async fn request_only(
    session: &Session,
    body: &Value,
    mut key: PendingKey,
    seal: Seal,
) -> Result<(), ClientError> {
    let answer = send(session, body, &mut key, Duration::ZERO, seal).await?.body;
    let job = scalar(&answer["job_id"]);
    key.release();
    session.print_done(
        &super::nouns::JOB,
        &answer,
        &format!("job {job}; `rts job config {job}` fetches the config"),
    );
    Ok(())
}

/// Sends a request, and again without a sealing key if the service is of a release that knows none. The key pair of an
/// accepted request is kept for its job.
async fn send(
    session: &Session,
    body: &Value,
    key: &mut PendingKey,
    wait: Duration,
    seal: Seal,
) -> Result<Answer, ClientError> {
    loop {
        let mut body = body.clone();
        sealing::add_key(&mut body, key.pair());
        let request = session.client.request(Method::POST, &["runners", "jit"]).json(body);
        let request = request.idempotency_key(key.as_str());
        let request = if wait.is_zero() {
            request.header("prefer", "respond-async")
        } else {
            request.prefer_wait(wait)
        };
        match session.client.send(request).await {
            Ok(answer) => {
                sealing::keep(&session.environment, &scalar(&answer.body["job_id"]), key.pair());
                return Ok(answer);
            }
            Err(error) if seal != Seal::Always && key.pair().is_some() && sealing::is_unknown_to(&error) => {
                note("this service does not seal configs yet; the request is sent without a key");
                key.forget_pair();
            }
            Err(error) => return Err(error),
        }
    }
}

/// Requests a runner and waits for its config. Returns the answer that holds it, with the config open.
async fn obtain(
    session: &Session,
    body: &Value,
    key: &mut PendingKey,
    wait: Duration,
    seal: Seal,
) -> Result<Value, ClientError> {
    let deadline = Instant::now() + wait;
    let mut progress = Progress::new();
    let accepted = loop {
        match send(session, body, key, FIRST_WAIT.min(wait), seal).await {
            Ok(answer) => break answer,
            Err(error) if error.exit_code() == 3 && Instant::now() + AWAY_PAUSE < deadline => {
                progress.show(&format!("waiting: {error}"));
                tokio::time::sleep(AWAY_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    };
    if accepted.status == 201 {
        return sealing::open(accepted.body, key.pair());
    }
    let job = scalar(&accepted.body["job_id"]);
    let left = deadline.saturating_duration_since(Instant::now());
    let ended = follow::until_final_with(session, &job, left, &mut progress).await?;
    ended.into_result()?;
    sealing::open(fetch(session, &job).await?, key.pair())
}

/// Fetches the config of a job. It is handed out again for 120 s, so the call may be repeated.
async fn fetch(session: &Session, job: &str) -> Result<Value, ClientError> {
    let request = session.client.request(Method::POST, &["jobs", job, "credential"]);
    Ok(session.client.send(request.repeatable()).await?.body)
}

/// Fetches the config of a job, and opens it with the key that an earlier command kept.
pub(super) async fn fetch_and_open(session: &Session, job: &str) -> Result<Value, ClientError> {
    let pair = sealing::kept(&session.environment, job);
    sealing::open(fetch(session, job).await?, pair.as_ref())
}

/// Returns the answer's members that hold no secret.
pub(super) fn without_secrets(answer: &Value) -> Value {
    const SECRETS: &[&str] = &[
        "encoded_jit_config",
        "run_command",
        "run_command_argv",
        "registration_token",
        "configuration_command",
    ];
    let members = answer.as_object().into_iter().flatten();
    let open = members.filter(|(name, _)| !SECRETS.contains(&name.as_str()));
    Value::Object(open.map(|(name, value)| (name.clone(), value.clone())).collect())
}
