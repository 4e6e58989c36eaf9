//! `rts`, the one program: parses a command, runs it and prints its result.

mod args;
mod commands;
#[cfg(feature = "dev")]
mod dev;
mod exit;
mod help;
mod output;
mod probe;
mod process;
mod wiring;

use std::{process::ExitCode, time::Duration};

fn main() -> ExitCode {
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    help::complete();
    let args = help::parse();
    let error_format = args.command.error_format();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            exit::report(&error, error_format);
            ExitCode::from(exit::code(&error))
        }
    }
}

fn run(args: args::Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(commands::run(args));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}
