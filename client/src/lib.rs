//! HTTP client of the API, and the commands of `rts` that use the API alone.
//!
//! A command adds its arguments to [`Command`] and its code to `commands/`. It talks to the API through a `Session` and
//! prints through the session's output, so that formats, prompts, time-outs and exit codes are equal everywhere.

mod args;
mod commands;
mod completion;
mod connection;
mod environment;
mod error;
mod files;
mod output;
mod session;

pub use args::{Command, CommonArgs, ErrorFormat, NounArgs};
pub use commands::{audit::AuditVerb, overview::WorkerVerb};
pub use error::ClientError;
pub use output::print::{line, note};

/// Runs a command to its end.
///
/// # Errors
/// [`ClientError`], whose [`exit_code`](ClientError::exit_code) is the one the program ends with.
pub async fn run(command: Command) -> Result<(), ClientError> {
    commands::run(command).await
}

/// Runs a verb of `rts worker` to its end.
///
/// # Errors
/// [`ClientError`], whose [`exit_code`](ClientError::exit_code) is the one the program ends with.
pub async fn run_worker(verb: WorkerVerb) -> Result<(), ClientError> {
    commands::run_worker(verb).await
}

/// Runs a verb of `rts audit` to its end.
///
/// # Errors
/// [`ClientError`], whose [`exit_code`](ClientError::exit_code) is the one the program ends with.
pub async fn run_audit(common: &CommonArgs, verb: AuditVerb) -> Result<(), ClientError> {
    commands::run_audit(common, verb).await
}
