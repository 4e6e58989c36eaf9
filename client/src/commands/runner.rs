//! `rts runner`.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use chrono::{SecondsFormat, Utc};
use clap::Subcommand;
use domain::RunnerStatus;
use reqwest::Method;

use super::{
    nouns::RUNNER,
    resolve,
    values::{Consent, duration, runner_status},
};
use crate::{
    args::LimitArgs,
    completion,
    connection::{Answer, MAX_PAGE, Request},
    error::ClientError,
    output::{Format, fit, print::note, render, scalar, show_repeatedly},
    session::Session,
};

/// Longest wait for a result in one answer, which is the service's limit.
const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// Verbs of `rts runner`.
#[derive(Debug, Subcommand)]
pub enum RunnerVerb {
    /// List runners, newest first.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  rts runner list\n  rts runner list --mine --watch\n  rts runner list --status offline --team web --all -o jsonl\n  rts runner list --label gpu --older 24h\n  rts runner list --status offline -o name | xargs rts runner remove --yes"
    )]
    List {
        /// Only runners in this state.
        #[arg(long, visible_alias = "state", value_parser = runner_status)]
        status: Option<RunnerStatus>,
        /// Only runners of this team, by name or id.
        #[arg(long, value_name = "TEAM", add = completion::teams())]
        team: Option<String>,
        /// Only runners that take one job, or only those that take many.
        #[arg(long, value_name = "BOOL")]
        ephemeral: Option<bool>,
        /// Only runners that you requested.
        #[arg(long)]
        mine: bool,
        /// Only runners with this label, or whose name or requester begins with this text.
        #[arg(long, visible_alias = "label", value_name = "TEXT", add = completion::labels())]
        search: Option<String>,
        /// Only runners that were requested this long ago or longer.
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        older: Option<Duration>,
        /// Show the list again and again in the terminal, until Ctrl-C.
        #[arg(short, long)]
        watch: bool,
        /// Time between two looks.
        #[arg(long, requires = "watch", default_value = "2s", value_name = "DURATION", value_parser = duration)]
        interval: Duration,
        #[command(flatten)]
        limit: LimitArgs,
    },
    /// Show a runner with its events and every change of its status.
    #[command(after_help = "Examples:\n  rts runner show ci-7f3a\n  rts runner show 0192f0c4-… -o json")]
    Show {
        /// The runner, by id or name.
        #[arg(value_name = "ID|NAME", add = completion::runners())]
        runner: String,
    },
    /// Ask GitHub for a runner's state now.
    #[command(after_help = "Example:\n  rts runner refresh ci-7f3a --wait")]
    Refresh {
        /// The runner, by id or name.
        #[arg(value_name = "ID|NAME", add = completion::runners())]
        runner: String,
        /// Wait up to 25 s for the result.
        #[arg(long)]
        wait: bool,
    },
    /// Remove runners. A runner that runs a job is removed after it.
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  rts runner remove ci-7f3a\n  rts runner remove 0192f0c4-… 0192f0c5-… --wait --yes"
    )]
    Remove {
        /// The runners, by id or name.
        #[arg(value_name = "ID|NAME", add = completion::runners(), required = true, num_args = 1..=500)]
        runners: Vec<String>,
        /// Wait up to 25 s for each result.
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        consent: Consent,
    },
}

/// Runs a verb.
pub(crate) async fn run(session: &Session, verb: RunnerVerb) -> Result<(), ClientError> {
    match verb {
        RunnerVerb::List { status, team, ephemeral, mine, search, older, watch: again, interval, limit } => {
            let user = if mine { Some(own_id(session).await?) } else { None };
            let request = session.list_request(&RUNNER).query("user", user);
            let request = request.query("status", status).query("team", team).query("ephemeral", ephemeral);
            let until = older.map(|age| (Utc::now() - age).to_rfc3339_opts(SecondsFormat::Millis, true));
            let request = request.query("q", search).query("until", until);
            if again && session.format.is_table() && io::stdout().is_terminal() {
                return watch(session, &request, interval).await;
            }
            session.print_list(&RUNNER, request, limit.into()).await
        }
        RunnerVerb::Show { runner } => {
            let id = resolve::runner(session, &runner).await?;
            session.print_thing(&RUNNER, &session.get(&["runners", &id]).await?);
            Ok(())
        }
        RunnerVerb::Refresh { runner, wait } => {
            let id = resolve::runner(session, &runner).await?;
            let answer = ask(session, Method::POST, &["runners", &id, "refresh"], wait).await?;
            report(session, &answer, &format!("{runner} is checked"));
            Ok(())
        }
        RunnerVerb::Remove { runners, wait, consent } => {
            let question = match runners.as_slice() {
                [one] => format!("This removes the runner {one}."),
                several => format!("This removes {} runners.", several.len()),
            };
            session.prompt.confirm(&question, consent.yes)?;
            remove(session, &runners, wait).await
        }
    }
}

/// Returns the caller's own id.
async fn own_id(session: &Session) -> Result<String, ClientError> {
    Ok(scalar(&session.get(&["auth", "me"]).await?["id"]))
}

/// Shows the newest runners, as many as the terminal has lines, again and again.
async fn watch(session: &Session, request: &Request, interval: Duration) -> Result<(), ClientError> {
    let wide = session.format == Format::Wide;
    show_repeatedly(interval, async |size| {
        let rows = usize::from(size.height).saturating_sub(3).clamp(1, MAX_PAGE);
        let answer = session.client.send(request.clone().query("limit", Some(rows))).await?.body;
        let items = answer[RUNNER.key].as_array().cloned().unwrap_or_default();
        let now = Utc::now();
        let time = now.format("%Y-%m-%d %H:%M:%S UTC");
        let total = scalar(&answer["total"]);
        let more = if answer["total_is_lower_bound"] == true { "more than " } else { "" };
        let title = format!(
            "{}   {time}   {} of {more}{total}   Ctrl-C ends",
            session.client.url.host(),
            items.len()
        );
        let mut lines = vec![title, String::new()];
        lines.extend(render(&items, RUNNER.columns, wide, Some(size.width), now).lines().map(str::to_owned));
        Ok(fit(lines, size))
    })
    .await
}

/// Removes each runner, and fails at the end with the first failure, so that one refusal does not stop the others.
async fn remove(session: &Session, runners: &[String], wait: bool) -> Result<(), ClientError> {
    let mut failed = None;
    for runner in runners {
        let removed = async {
            let id = resolve::runner(session, runner).await?;
            ask(session, Method::DELETE, &["runners", &id], wait).await
        };
        match removed.await {
            Ok(answer) => report(session, &answer, &format!("{runner} is removed")),
            Err(error) if runners.len() > 1 => {
                note(format_args!("{runner}: {error}"));
                failed = failed.or(Some(error));
            }
            Err(error) => return Err(error),
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn ask(session: &Session, method: Method, path: &[&str], wait: bool) -> Result<Answer, ClientError> {
    let request = session.client.request(method, path);
    session.client.send(if wait { request.prefer_wait(LONGEST_WAIT) } else { request }).await
}

fn report(session: &Session, answer: &Answer, done: &str) {
    let job = scalar(&answer.body["job_id"]);
    let sentence = match answer.status {
        202 => format!("accepted as job {job}; `rts job watch {job}` follows it"),
        _ => done.to_owned(),
    };
    let noun = if answer.status == 202 { &super::nouns::JOB } else { &RUNNER };
    session.print_done(noun, &answer.body, &sentence);
}
