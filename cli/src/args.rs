//! Commands and options of the command line.

pub(crate) mod access;
pub(crate) mod audit;

use std::{net::SocketAddr, path::PathBuf};

use chrono::{DateTime, Utc};
use clap::{
    Parser, Subcommand,
    builder::{StringValueParser, TypedValueParser},
};
use client::{ErrorFormat, NounArgs};
use domain::{AuditFormat, InstallationId, RunnerStatus, Secret};
use uuid::Uuid;

use crate::exit;

/// Hands out GitHub self-hosted runners without handing out GitHub credentials.
#[derive(Debug, Parser)]
#[command(name = "rts", version, after_help = exit::HELP, propagate_version = true)]
pub(crate) struct Args {
    /// A TOML file with settings of the server; environment variables take precedence.
    #[arg(long, global = true, env = "RTS_CONFIG", value_name = "FILE", help_heading = "Server")]
    pub(crate) config: Option<PathBuf>,
    /// Command to run.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Remote(Box<client::Command>),
    /// Show, export and verify the audit log.
    Audit(NounArgs<audit::AuditVerb>),
    /// Serve the HTTP API. Needs no GitHub App key.
    #[command(
        after_help = "Examples:\n  rts api\n  SERVICE_HOST=0.0.0.0 SERVICE_PORT=80 rts api\n  rts --config /etc/rts/rts.toml api\n\n`rts settings` lists what it is configured with. The first SIGTERM or SIGINT drains, the second ends at once."
    )]
    Api,
    /// Run jobs against GitHub. Any number of workers may run.
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Examples:\n  rts worker\n  rts worker list\n  WORKER_CONCURRENCY=16 rts worker --listen 127.0.0.1:9100\n\nThe first SIGTERM or SIGINT stops claiming and lets what runs end (25 s); the second gives it back at once."
    )]
    Worker(WorkerArgs),
    /// Run periodic work. Any number of schedulers may run; one of them leads.
    #[command(after_help = "Examples:\n  rts scheduler\n  rts scheduler --listen 127.0.0.1:9101")]
    Scheduler(ProcessArgs),
    /// Bring the database up to date. May be repeated at any time.
    #[command(
        after_help = "Examples:\n  DATABASE_URL=postgres://rts_owner@localhost/rts rts init-db\n  DATABASE_URL=postgres://rts_owner@localhost/rts rts init-db --app-role rts_app"
    )]
    InitDb {
        /// Grant this existing database role exactly what the service needs: no DDL, and no change of audit rows. Also
        /// sets how long audit rows are kept at least: `AUDIT_RETENTION_DAYS` of this command, independent of the
        /// scheduler's.
        #[arg(long, value_name = "ROLE")]
        app_role: Option<String>,
    },
    /// Make a person an admin, whether they have signed in before or not.
    #[command(
        after_help = "Examples:\n  rts create-admin --email ops@example.com\n  rts create-admin --issuer https://login.example.com/ --subject 'auth0|1234'"
    )]
    CreateAdmin(CreateAdmin),
    #[command(flatten)]
    Access(access::Access),
    /// Ask the scheduler to compare the runners with GitHub now.
    #[command(
        hide = true,
        after_help = "Examples:\n  rts sync-github\n  rts sync-github --confirm-removals    # after a sync was held because it would remove too much"
    )]
    SyncGithub {
        /// If the last sync was held because it would remove more than a fifth of the runners, let the next one remove
        /// about as many. The approval is valid for 15 minutes.
        #[arg(long)]
        confirm_removals: bool,
        /// Only this installation.
        #[arg(long)]
        installation: Option<InstallationId>,
    },
    /// List the users, newest first.
    #[command(hide = true, after_help = "Examples:\n  rts list-users\n  rts list-users --output json")]
    ListUsers(ListUsers),
    /// Write the audit log to a file, newest first.
    #[command(
        hide = true,
        after_help = "Examples:\n  rts export-audit-log --file audit.json\n  rts export-audit-log --file audit.csv --format csv --since 2026-01-01T00:00:00Z --event-type runner.provision --user ada@example.com"
    )]
    ExportAuditLog(ExportAudit),
    /// Verify that no audit row or security event was removed, edited or inserted. As `rts audit verify`.
    #[command(
        after_help = "Examples:\n  rts verify-audit-log\n  rts verify-audit-log --output json\n  rts verify-audit-log --head audit_log:4711:9f86d081… --public-key k1:3b6a27bc…\n\nExits 7 and names each difference. It reads every row, a thousand at a time, and locks nothing. With TOKEN_KEYS, or the public keys that it prints, signatures are checked too."
    )]
    VerifyAuditLog(audit::VerifyAudit),
    /// List runners, newest first.
    #[command(
        hide = true,
        after_help = "Examples:\n  rts list-runners\n  rts list-runners --status offline --team 0192f0c4-… --output json\n  rts list-runners --user ada@example.com"
    )]
    ListRunners(ListRunners),
    /// Remove runners that have been offline for long.
    ///
    /// A job checks each on GitHub before it deletes it.
    #[command(
        after_help = "Examples:\n  rts cleanup-stale-runners --hours 48 --dry-run\n  rts cleanup-stale-runners --hours 48"
    )]
    CleanupStaleRunners(CleanupStale),
    /// Make teams of the predecessor's label policies of single users.
    #[command(
        after_help = "Examples:\n  rts migrate-label-policies policies.json --dry-run\n  rts migrate-label-policies policies.json --installation games\n\nThe file is the predecessor's answer to GET /api/v1/admin/label-policies, or its table label_policies as a JSON array. Each policy becomes a team with its user as the only member. Users who belong to a team are skipped, so the command may be repeated."
    )]
    MigrateLabelPolicies(MigrateLabelPolicies),
    /// Import teams, people, machine clients, runners and the audit log of the predecessor's database.
    #[command(
        after_help = "Examples:\n  PREDECESSOR_DATABASE_URL=postgresql://… rts import-predecessor --dry-run\n  rts import-predecessor --database-url postgresql://reader@db/gharts --issuer https://login.example.com/\n\nRows that are here already stay as they are, so the command may be repeated. All of it is one transaction. Exits 4 if rows were left out. Other users of the machine can read arguments: give an address with a password in the environment."
    )]
    ImportPredecessor(ImportPredecessor),
    /// Print the OpenAPI description of the API.
    #[command(after_help = "Example:\n  rts openapi > openapi.json")]
    Openapi,
    /// Check every part of the service, and say how to repair it.
    #[command(
        after_help = "Examples:\n  rts doctor\n  rts doctor --only github --only webhooks\n  rts doctor --token-file token.txt -o json\n\nRun it where the processes run, with their settings. Exits 7 if a part of the service does not work."
    )]
    Doctor(crate::commands::doctor::DoctorArgs),
    /// Check a running API, for health checks of containers.
    #[command(
        after_help = "Examples:\n  rts health\n  rts health --url http://127.0.0.1:9100/health/live\n\nExits 0 when the answer is 200, else 3."
    )]
    Health {
        /// URL to check.
        #[arg(long, default_value = "http://127.0.0.1:8080/health/ready")]
        url: String,
    },
    /// List every setting with its default and description.
    #[command(after_help = "Examples:\n  rts settings\n  rts settings --markdown > settings.md")]
    Settings {
        /// Print Markdown tables.
        #[arg(long)]
        markdown: bool,
    },
    /// Print a completion script for a shell.
    #[command(
        after_help = "Example:\n  rts completions bash > ~/.local/share/bash-completion/completions/rts"
    )]
    Completions {
        /// Shell to complete in.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages of all commands to a folder.
    #[command(after_help = "Example:\n  rts man ~/.local/share/man/man1")]
    Man {
        /// Folder to write to; it is made if it does not exist.
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
    /// Run all parts on this machine without credentials, and provision one runner.
    #[cfg(feature = "dev")]
    Dev(crate::dev::DevArgs),
    /// Measure the service beside yardsticks, on private servers that write to disk.
    #[cfg(feature = "dev")]
    Bench(bench::BenchArgs),
}

impl Command {
    /// Returns the form in which an error of this command is printed.
    pub(crate) fn error_format(&self) -> ErrorFormat {
        match self {
            Self::Remote(command) => command.error_format(),
            Self::Audit(noun) => noun.error_format(),
            Self::Worker(WorkerArgs { verb: Some(verb), .. }) => verb.error_format(),
            _ => ErrorFormat::Text,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) part: ProcessArgs,
    #[command(subcommand)]
    pub(crate) verb: Option<client::WorkerVerb>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ProcessArgs {
    /// Serve /health/live and /metrics on this address.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateAdmin {
    /// E-mail address as their tokens state it; the first login within 30 days binds it.
    #[arg(long, required_unless_present = "subject", value_parser = email)]
    pub(crate) email: Option<String>,
    /// Subject of their tokens.
    #[arg(long)]
    pub(crate) subject: Option<String>,
    /// Issuer of their tokens, one of the configured ones. Without it, the first that binds people.
    #[arg(long)]
    pub(crate) issuer: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListRunners {
    /// Only runners in this state. Without it, all except deleted ones.
    #[arg(long, value_parser = status)]
    pub(crate) status: Option<RunnerStatus>,
    /// Only runners of the team with this id.
    #[arg(long, value_name = "TEAM_ID")]
    pub(crate) team: Option<Uuid>,
    /// Only runners requested by this person, by e-mail or id.
    #[arg(long, value_name = "EMAIL|USER_ID")]
    pub(crate) user: Option<String>,
    /// Maximum number of rows.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1000))]
    pub(crate) limit: i64,
    /// A table for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListUsers {
    /// Maximum number of rows.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1000))]
    pub(crate) limit: i64,
    /// A table for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExportAudit {
    /// File to write. An existing file is not overwritten.
    #[arg(long, alias = "output", value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Form of the rows: `json` (an array), `jsonl` (JSON lines) or `csv`.
    #[arg(long, default_value = "json", value_parser = audit_format)]
    pub(crate) format: AuditFormat,
    /// Only rows since this time, as in 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<DateTime<Utc>>,
    /// Only rows of this type, such as runner.provision.
    #[arg(long)]
    pub(crate) event_type: Option<String>,
    /// Only rows of this identity, as the log names it.
    #[arg(long, value_name = "IDENTITY")]
    pub(crate) user: Option<String>,
    /// Maximum number of rows.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MigrateLabelPolicies {
    /// JSON file with the policies, at most 16 MiB.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// GitHub installation of the teams.
    #[arg(long, default_value_t = InstallationId::default())]
    pub(crate) installation: InstallationId,
    /// Show the teams without making them.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ImportPredecessor {
    /// Address of the predecessor's PostgreSQL database. It is only read.
    #[arg(long, value_name = "URL", env = "PREDECESSOR_DATABASE_URL", hide_env_values = true,
        value_parser = StringValueParser::new().map(Secret::new))]
    pub(crate) database_url: Secret,
    /// Issuer of all people and machine clients. Without it, `OIDC_ISSUER`.
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<String>,
    /// GitHub installation of the teams and runners.
    #[arg(long, default_value_t = InstallationId::default())]
    pub(crate) installation: InstallationId,
    /// Show what would be imported, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// A table for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CleanupStale {
    /// Offline for longer than this number of hours. Without it, `CLEANUP_STALE_RUNNERS_HOURS`.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8760))]
    pub(crate) hours: Option<u32>,
    /// List the runners without removing them.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// A table for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// Output format of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

fn status(text: &str) -> Result<RunnerStatus, String> {
    let words: Vec<&str> = RunnerStatus::ALL.iter().map(|status| status.as_str()).collect();
    text.parse().map_err(|_| format!("one of {}", words.join(", ")))
}

fn audit_format(text: &str) -> Result<AuditFormat, String> {
    let words: Vec<&str> = AuditFormat::ALL.iter().map(|format| format.as_str()).collect();
    text.parse().map_err(|_| format!("one of {}", words.join(", ")))
}

fn email(text: &str) -> Result<String, &'static str> {
    let whole = text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.len() > 1);
    let plain = text.len() <= 254 && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    if whole && plain { Ok(text.to_owned()) } else { Err("not an e-mail address") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_needs_a_name() {
        assert!(Args::try_parse_from(["rts", "create-admin"]).is_err());
        assert!(Args::try_parse_from(["rts", "create-admin", "--issuer", "https://i"]).is_err());
        assert!(Args::try_parse_from(["rts", "create-admin", "--email", "nobody"]).is_err());
        assert!(Args::try_parse_from(["rts", "create-admin", "--email", "a@example.com"]).is_ok());
        assert!(
            Args::try_parse_from(["rts", "create-admin", "--subject", "s", "--issuer", "https://i"]).is_ok()
        );
    }
}
