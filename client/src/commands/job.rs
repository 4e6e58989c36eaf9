//! `rts job`.

use std::time::Duration;

use clap::{Args, Subcommand};
use domain::{JobKind, JobState};
use reqwest::Method;

use super::{
    nouns::JOB,
    provision::{Handover, HandoverArgs, fetch_and_open, follow},
    values::{Fields, PeriodArgs, Reason, duration},
};
use crate::{
    args::LimitArgs,
    completion,
    connection::Request,
    error::ClientError,
    output::{print::note, scalar},
    session::Session,
};

/// Verbs of `rts job`.
#[derive(Debug, Subcommand)]
pub enum JobVerb {
    /// List jobs, newest first.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  rts job list\n  rts job list --state failed --kind provision --team web\n  rts job list --error github_refused --since 2h\n  rts job list --user ada@example.com --state queued -o wide"
    )]
    List {
        /// Only jobs in this state.
        #[arg(long, value_parser = state)]
        state: Option<JobState>,
        /// Only jobs of this kind.
        #[arg(long, value_parser = kind)]
        kind: Option<JobKind>,
        /// Only jobs of this team, by name or id.
        #[arg(long, value_name = "TEAM", add = completion::teams())]
        team: Option<String>,
        #[command(flatten)]
        about: JobFilter,
        #[command(flatten)]
        limit: LimitArgs,
    },
    /// Show a job, what it waits for and how it ended.
    #[command(after_help = "Example:\n  rts job show 0192f0c4-…")]
    Show {
        /// Id of the job.
        #[arg(value_name = "ID", add = completion::jobs())]
        job: String,
    },
    /// Follow a job until it has ended.
    #[command(
        after_help = "Examples:\n  rts job watch 0192f0c4-…\n  rts job watch 0192f0c4-… --timeout 10m\n\nExits 0 if the job has succeeded, 1 if it has failed, 6 if it goes on after the time limit."
    )]
    Watch {
        /// Id of the job.
        #[arg(value_name = "ID", add = completion::jobs())]
        job: String,
        /// Longest wait.
        #[arg(long, default_value = "1h", value_name = "DURATION", value_parser = duration)]
        timeout: Duration,
    },
    /// Cancel a waiting job.
    #[command(after_help = "Example:\n  rts job cancel 0192f0c4-…")]
    Cancel {
        /// Id of the job.
        #[arg(value_name = "ID", add = completion::jobs())]
        job: String,
    },
    /// Ask again for the runner of failed or expired jobs, for those who requested them.
    #[command(
        after_help = "Examples:\n  rts job retry 0192f0c4-…\n  rts job retry 0192f0c4-… 0192f0c5-… --reason 'GitHub is back'"
    )]
    Retry {
        /// Ids of the jobs.
        #[arg(value_name = "ID", required = true, num_args = 1..=500, add = completion::jobs())]
        jobs: Vec<String>,
        #[command(flatten)]
        reason: Reason,
    },
    /// Take failed or expired jobs off the list of failures. They stay in the history.
    #[command(after_help = "Example:\n  rts job discard 0192f0c4-… --reason 'the branch is gone'")]
    Discard {
        /// Ids of the jobs.
        #[arg(value_name = "ID", required = true, num_args = 1..=500, add = completion::jobs())]
        jobs: Vec<String>,
        #[command(flatten)]
        reason: Reason,
    },
    /// Fetch the config of a job that has succeeded. It is handed out once, and again for 120 s.
    #[command(
        after_help = "Examples:\n  rts job config 0192f0c4-… --config-file jit.config\n  rts job config 0192f0c4-… --exec ./run.sh"
    )]
    Config {
        /// Id of the job.
        #[arg(value_name = "ID", add = completion::jobs())]
        job: String,
        #[command(flatten)]
        handover: HandoverArgs,
    },
}

/// What the jobs to list are about.
#[derive(Debug, Args)]
pub struct JobFilter {
    /// Only jobs that this person or machine client requested: an e-mail, `issuer#subject`, client id or our id.
    #[arg(long, value_name = "WHO")]
    user: Option<String>,
    /// Only jobs that ended with this problem code.
    #[arg(long, value_name = "CODE")]
    error: Option<String>,
    /// Only jobs of this runner, by id.
    #[arg(long, value_name = "ID")]
    runner: Option<uuid::Uuid>,
    /// Only jobs that this worker started last.
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
    /// Only jobs of this GitHub installation.
    #[arg(long, value_name = "NAME")]
    installation: Option<String>,
    /// Only about this: a runner, a person or a machine client by the beginning of the name, or an error code.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    #[command(flatten)]
    period: PeriodArgs,
}

impl JobFilter {
    fn add_to(self, request: Request) -> Request {
        let request = request.query("user", self.user).query("error", self.error).query("q", self.search);
        let request = request.query("runner", self.runner).query("worker", self.worker);
        self.period.add_to(request.query("installation", self.installation))
    }
}

/// Runs a verb.
pub(crate) async fn run(session: &Session, verb: JobVerb) -> Result<(), ClientError> {
    match verb {
        JobVerb::List { state, kind, team, about, limit } => {
            let request = session.list_request(&JOB).query("state", state).query("kind", kind);
            session.print_list(&JOB, about.add_to(request.query("team", team)), limit.into()).await
        }
        JobVerb::Show { job } => {
            session.print_thing(&JOB, &session.get(&["jobs", &job]).await?);
            Ok(())
        }
        JobVerb::Watch { job, timeout } => {
            let ended = follow::until_final(session, &job, timeout).await?;
            session.print_done(&JOB, &ended.document, &format!("job {job}: {}", ended.state));
            ended.into_result()
        }
        JobVerb::Cancel { job } => {
            let request = session.client.request(Method::DELETE, &["jobs", &job]);
            let cancelled = session.client.send(request).await?.body;
            session.print_done(&JOB, &cancelled, &format!("job {job} is cancelled"));
            Ok(())
        }
        JobVerb::Retry { jobs, reason } => decide(session, &jobs, "retry", reason).await,
        JobVerb::Discard { jobs, reason } => decide(session, &jobs, "discard", reason).await,
        JobVerb::Config { job, handover } => {
            let handover = Handover::check(session, handover)?;
            let config = fetch_and_open(session, &job).await?;
            handover.hand_over(session, &config).await
        }
    }
}

/// Decides about each job, and fails at the end with the first refusal, so that one refusal does not stop the others.
async fn decide(session: &Session, jobs: &[String], action: &str, reason: Reason) -> Result<(), ClientError> {
    let body = Fields::default().add("reason", reason.reason).into_body();
    let mut refused = None;
    for job in jobs {
        match session.change(Method::POST, &["admin", "jobs", job, action], body.clone()).await {
            Ok(answer) if action == "retry" => {
                let new = scalar(&answer.body["job_id"]);
                session.print_done(&JOB, &answer.body, &format!("job {job} is asked for again as {new}"));
            }
            Ok(answer) => session.print_done(&JOB, &answer.body, &format!("job {job} is discarded")),
            Err(error) if jobs.len() > 1 => {
                note(format_args!("{job}: {error}"));
                refused = refused.or(Some(error));
            }
            Err(error) => return Err(error),
        }
    }
    refused.map_or(Ok(()), Err)
}

fn state(text: &str) -> Result<JobState, String> {
    let words: Vec<&str> = JobState::ALL.iter().map(|state| state.as_str()).collect();
    text.parse().map_err(|_| format!("one of {}", words.join(", ")))
}

fn kind(text: &str) -> Result<JobKind, String> {
    let words: Vec<&str> = JobKind::ALL.iter().map(|kind| kind.as_str()).collect();
    text.parse().map_err(|_| format!("one of {}", words.join(", ")))
}
