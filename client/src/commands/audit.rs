//! `rts audit`.

use std::{
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::nouns::AUDIT;
use crate::{
    args::LimitArgs,
    completion,
    connection::{MAX_PAGE, Pages, Request, create_private_file},
    error::ClientError,
    output::{Progress, print::note},
    session::Session,
};

/// Verbs of `rts audit`.
#[derive(Debug, Subcommand)]
pub enum AuditVerb {
    /// List the audit log, newest first.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  rts audit list --team web --since 2026-01-31T00:00:00Z\n  rts audit list --event-type runner.provision --success false"
    )]
    List {
        #[command(flatten)]
        filter: AuditFilter,
        #[command(flatten)]
        limit: LimitArgs,
    },
    /// Write the audit log to a new file as JSON lines, newest first. Memory stays small however long it is.
    #[command(after_help = "Example:\n  rts audit export --file audit.jsonl --since 2026-01-01T00:00:00Z")]
    Export {
        /// File to write. An existing file is not overwritten.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        filter: AuditFilter,
    },
}

/// Rows of the audit log to choose.
#[derive(Debug, Args)]
pub struct AuditFilter {
    /// Only rows of this type, such as runner.provision.
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Only rows of this team, by name or id.
    #[arg(long, value_name = "TEAM", add = completion::teams())]
    team: Option<String>,
    /// Only rows of this runner, by id.
    #[arg(long, value_name = "ID")]
    runner: Option<uuid::Uuid>,
    /// Only rows of this identity, as the log names it.
    #[arg(long, value_name = "IDENTITY")]
    user: Option<String>,
    /// Only rows of what was done, or only of what was refused.
    #[arg(long, value_name = "BOOL")]
    success: Option<bool>,
    /// Only about this: a runner, a person or a machine client by the beginning of the name, or an event type.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only rows since this time, as in 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
}

impl AuditFilter {
    fn request(self, session: &Session) -> Request {
        let request =
            session.list_request(&AUDIT).query("event_type", self.event_type).query("team", self.team);
        let request = request.query("runner", self.runner).query("user", self.user).query("q", self.search);
        let since = self.since.map(|since| since.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true));
        request.query("success", self.success).query("since", since)
    }
}

/// Runs a verb.
pub(crate) async fn run(session: &Session, verb: AuditVerb) -> Result<(), ClientError> {
    match verb {
        AuditVerb::List { filter, limit } => {
            session.print_list(&AUDIT, filter.request(session), limit.into()).await
        }
        AuditVerb::Export { file, filter } => {
            let rows = export(session, filter.request(session), &file).await?;
            note(format_args!("{rows} rows in {}", file.display()));
            Ok(())
        }
    }
}

async fn export(session: &Session, request: Request, path: &Path) -> Result<u64, ClientError> {
    let fault = |error: std::io::Error| ClientError::Failed(format!("{}: {error}", path.display()));
    let mut file = BufWriter::new(create_private_file(path).map_err(fault)?);
    let mut pages = Pages::new(&session.client, request.query("limit", Some(MAX_PAGE)), AUDIT.key);
    let (mut rows, mut progress) = (0, Progress::new());
    while let Some(items) = pages.next().await? {
        for item in &items {
            writeln!(file, "{item}").map_err(fault)?;
            rows += 1;
        }
        if rows > 0 && rows % 10_000 == 0 {
            progress.show(&format!("{rows} rows"));
        }
    }
    file.flush().map_err(fault)?;
    Ok(rows)
}
