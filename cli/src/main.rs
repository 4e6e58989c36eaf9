//! `rts`, the one program: parses a command, runs it and prints its result.

#[cfg(feature = "server")]
mod args;
#[cfg(not(feature = "server"))]
mod client_only;
#[cfg(feature = "server")]
mod commands;
#[cfg(feature = "dev")]
mod dev;
#[cfg(all(test, feature = "dev"))]
mod documents;
mod exit;
mod help;
#[cfg(feature = "server")]
mod output;
#[cfg(feature = "server")]
mod probe;
#[cfg(feature = "server")]
mod process;
#[cfg(all(test, feature = "dev"))]
mod snapshots;
#[cfg(feature = "server")]
mod wiring;

#[cfg(not(feature = "server"))]
use client_only as args;
#[cfg(not(feature = "server"))]
use client_only as commands;

use std::{process::ExitCode, time::Duration};

use tokio::runtime::Builder;

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
    let runtime = runtime_builder().enable_all().build()?;
    let result = runtime.block_on(commands::run(args));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Servers use all processors. A command of the API waits for one answer at a time.
fn runtime_builder() -> Builder {
    if cfg!(feature = "server") { Builder::new_multi_thread() } else { Builder::new_current_thread() }
}
