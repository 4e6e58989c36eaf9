//! `rts audit`.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use domain::AuditFormat;
use reqwest::Method;

use super::{nouns::AUDIT, values::PeriodArgs};
use crate::{
    args::LimitArgs,
    completion,
    connection::{MAX_PAGE, Pages, Request, create_private_file},
    error::ClientError,
    output::{Progress, print::note},
    session::Session,
};

/// Bytes after which the progress of an export is shown again.
const SHOWN_BYTES: u64 = 1_000_000;

/// Verbs of `rts audit`.
#[derive(Debug, Subcommand)]
pub enum AuditVerb {
    /// List the audit log, newest first.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  rts audit list --team web --since 2026-01-31T00:00:00Z\n  rts audit list --event-type runner.provision --success false --since 2h"
    )]
    List {
        /// Rows to choose.
        #[command(flatten)]
        filter: AuditFilter,
        /// Only about this: a runner, a person or a machine client by the beginning of the name, or an event type.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// How much to print.
        #[command(flatten)]
        limit: LimitArgs,
    },
    /// Write the audit log to a new file, newest first. Memory stays small however long it is.
    #[command(
        after_help = "Examples:\n  rts audit export --file audit.jsonl --since 2026-01-01T00:00:00Z\n  rts audit export --file audit.csv --format csv --team web --since 30d\n\nAdmins and viewers get every row in one answer. Members get the rows of their teams as JSON lines, page by page."
    )]
    Export {
        /// File to write. An existing file is not overwritten.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Form of the rows: `json` (an array), `jsonl` (JSON lines) or `csv`.
        #[arg(long, default_value = "jsonl", value_parser = format)]
        format: AuditFormat,
        /// Rows to choose.
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
    #[command(flatten)]
    period: PeriodArgs,
}

impl AuditFilter {
    fn add_to(&self, request: Request) -> Request {
        let request = request.query("event_type", self.event_type.as_ref()).query("team", self.team.as_ref());
        let request = request.query("runner", self.runner).query("user", self.user.as_ref());
        self.period.add_to(request.query("success", self.success))
    }
}

fn format(text: &str) -> Result<AuditFormat, String> {
    let words: Vec<&str> = AuditFormat::ALL.iter().map(|format| format.as_str()).collect();
    text.parse().map_err(|_| format!("one of {}", words.join(", ")))
}

/// Runs a verb.
pub(crate) async fn run(session: &Session, verb: AuditVerb) -> Result<(), ClientError> {
    match verb {
        AuditVerb::List { filter, search, limit } => {
            let request = filter.add_to(session.list_request(&AUDIT).query("q", search));
            session.print_list(&AUDIT, request, limit.into()).await
        }
        AuditVerb::Export { file, format, filter } => {
            let written = Export { session, format, filter: &filter }.write(&file).await?;
            note(format_args!("{written} in {}", file.display()));
            Ok(())
        }
    }
}

struct Export<'e> {
    session: &'e Session,
    format: AuditFormat,
    filter: &'e AuditFilter,
}

impl Export<'_> {
    /// Writes the file. Returns how much it is. A file that is incomplete is removed.
    async fn write(&self, path: &Path) -> Result<String, ClientError> {
        let file = create_private_file(path).map_err(|error| file_fault(path, &error))?;
        let mut out = BufWriter::new(file);
        let written = match self.stream(path, &mut out).await {
            Err(ClientError::Problem(problem)) if problem.code == "admin_required" => {
                self.pages(path, &mut out).await
            }
            written => written,
        };
        if written.is_err() {
            drop(out);
            // The error of the export says what happened.
            let _ = fs::remove_file(path);
        }
        written
    }

    /// Writes one answer with every row, as it arrives.
    async fn stream(&self, path: &Path, out: &mut BufWriter<File>) -> Result<String, ClientError> {
        let request = self.session.client.request(Method::GET, &["admin", "audit-logs", "export"]);
        let request = self.filter.add_to(request.query("format", Some(self.format)));
        let (mut bytes, mut lines, mut shown) = (0_u64, 0_u64, 0);
        let mut progress = Progress::new();
        let write = |chunk: &[u8]| {
            out.write_all(chunk).map_err(|error| file_fault(path, &error))?;
            bytes += chunk.len() as u64;
            lines += chunk.split(|byte| *byte == b'\n').count() as u64 - 1;
            if bytes / SHOWN_BYTES > shown {
                shown = bytes / SHOWN_BYTES;
                progress.show(&format!("{shown} MB"));
            }
            Ok(())
        };
        self.session.client.download(request, write).await?;
        out.flush().map_err(|error| file_fault(path, &error))?;
        // In the other forms, rows are not lines.
        Ok(if self.format == AuditFormat::JsonLines {
            format!("{lines} rows")
        } else {
            format!("{bytes} bytes")
        })
    }

    /// Writes the rows that a member may see.
    async fn pages(&self, path: &Path, out: &mut BufWriter<File>) -> Result<String, ClientError> {
        if self.format != AuditFormat::JsonLines {
            let text = "only admins and viewers get this form; members use `--format jsonl`";
            return Err(ClientError::Usage(text.to_owned()));
        }
        let request = self.filter.add_to(self.session.list_request(&AUDIT));
        let mut pages = Pages::new(&self.session.client, request.query("limit", Some(MAX_PAGE)), AUDIT.key);
        let (mut rows, mut progress) = (0, Progress::new());
        while let Some(items) = pages.next().await? {
            for item in &items {
                writeln!(out, "{item}").map_err(|error| file_fault(path, &error))?;
                rows += 1;
            }
            if rows > 0 && rows % 10_000 == 0 {
                progress.show(&format!("{rows} rows"));
            }
        }
        out.flush().map_err(|error| file_fault(path, &error))?;
        Ok(format!("{rows} rows"))
    }
}

fn file_fault(path: &Path, error: &std::io::Error) -> ClientError {
    ClientError::Failed(format!("{}: {error}", path.display()))
}
