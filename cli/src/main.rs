//! `rts`, the operator's program: parses a command, runs it and prints its result.

mod args;
#[cfg(feature = "dev")]
mod bench;
mod commands;
#[cfg(feature = "dev")]
mod dev;
mod exit;
mod output;
mod probe;
mod process;
mod wiring;

use std::{process::ExitCode, time::Duration};

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(format_args!("rts: {error:#}"));
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
