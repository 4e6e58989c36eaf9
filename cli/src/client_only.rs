//! The program without server parts: the commands that use the API alone.

use clap::{Parser, Subcommand};
use client::ErrorFormat;

use crate::{exit, help};

/// Gets GitHub self-hosted runners from a Runner Token Service.
#[derive(Debug, Parser)]
#[command(name = "rts", version, after_help = exit::HELP, propagate_version = true)]
pub(crate) struct Args {
    /// Command to run.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Remote(Box<client::Command>),
    /// Show and export the audit log.
    Audit(client::NounArgs<client::AuditVerb>),
    /// Show and drain workers.
    #[command(subcommand)]
    Worker(client::WorkerVerb),
    /// Print a completion script for a shell.
    #[command(
        after_help = "Example:\n  rts completions bash > ~/.local/share/bash-completion/completions/rts"
    )]
    Completions {
        /// Shell to complete in.
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// Returns the form in which an error of this command is printed.
    pub(crate) fn error_format(&self) -> ErrorFormat {
        match self {
            Self::Remote(command) => command.error_format(),
            Self::Audit(noun) => noun.error_format(),
            Self::Worker(verb) => verb.error_format(),
            Self::Completions { .. } => ErrorFormat::Text,
        }
    }
}

/// Runs the given command.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Remote(command) => Ok(client::run(*command).await?),
        Command::Audit(noun) => {
            let (common, verb) = noun.into_parts();
            Ok(client::run_audit(&common, verb).await?)
        }
        Command::Worker(verb) => Ok(client::run_worker(verb).await?),
        Command::Completions { shell } => {
            client::line(help::completion_script(shell)?.trim_end());
            Ok(())
        }
    }
}
