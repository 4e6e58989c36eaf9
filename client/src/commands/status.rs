//! `rts status` and `rts failures`.

use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use clap::Args;

use super::{nouns::FAILURE, values::duration};
use crate::{
    completion,
    error::ClientError,
    output::{Noun, print::note, scalar},
    session::{Limit, Session},
};

/// Level of a service whose jobs do not start.
const STOPPED: &str = "stopped";

/// Arguments of `rts status`.
#[derive(Debug, Args)]
pub struct StatusArgs {}

/// Arguments of `rts failures`.
#[derive(Debug, Args)]
pub struct FailureArgs {
    /// How far to look back, at most 30 days.
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = duration)]
    since: Duration,
    /// Only failures of this team, by name or id.
    #[arg(long, value_name = "TEAM", add = completion::teams())]
    team: Option<String>,
}

/// Prints the state of the service in one sentence.
///
/// # Errors
/// [`ClientError::Unavailable`] if its jobs do not start.
pub(crate) async fn status(session: &Session) -> Result<(), ClientError> {
    const VERDICT: Noun =
        Noun { path: &["admin", "verdict"], key: "", name: "level", paged: false, columns: &[] };
    let verdict = match session.get(VERDICT.path).await {
        // Members are told what it means for their runners.
        Err(ClientError::Problem(problem)) if problem.code == "admin_required" => {
            session.get(&["status"]).await?
        }
        answered => answered?,
    };
    let sentence = scalar(&verdict["sentence"]);
    session.print_done(&VERDICT, &verdict, &sentence);
    if session.format.is_table()
        && let Some(notice) = verdict["notice"]["sentence"].as_str()
    {
        note(crate::output::plain(notice));
    }
    if verdict["level"] == STOPPED {
        let code = verdict["code"].as_str().map(|code| format!(" ({})", crate::output::plain(code)));
        return Err(ClientError::Unavailable(format!("jobs do not start{}", code.unwrap_or_default())));
    }
    Ok(())
}

/// Prints failures by their cause.
pub(crate) async fn failures(session: &Session, args: FailureArgs) -> Result<(), ClientError> {
    let since = Utc::now() - args.since;
    let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
    let request = session.list_request(&FAILURE).query("since", Some(since)).query("team", args.team);
    session.print_list(&FAILURE, request, Limit { items: None }).await
}
