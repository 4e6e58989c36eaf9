//! `rts dev`: all parts on this machine, without credentials, and one provisioned runner.

mod demo_users;
mod environment;
mod main_job;
mod ports;
mod seed;
mod servers;
mod welcome;

use std::path::{Path, PathBuf};

use anyhow::Context;
use devstack::ServerPrograms;
use runtime::config::{Mode, Sources};

use crate::{exit::End, output, process::Process};
use environment::Environment;
use servers::Servers;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  rts dev\n  rts dev --once\n  rts dev --fresh --port 9000\n  DATABASE_URL=postgres://… REDIS_URL=redis://… rts dev\n\nWhat is not configured is made: private PostgreSQL and Redis, a fake GitHub, an identity provider."
)]
pub(crate) struct DevArgs {
    /// End after the runner was provisioned, with 0 if that succeeded. Keeps no data unless --data is given.
    #[arg(long)]
    once: bool,
    /// Begin with empty private servers.
    #[arg(long)]
    fresh: bool,
    /// Keep the private servers' data in this folder. Without it, in a folder that belongs to the checkout.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    allowed: Allowed,
    /// Port of the API. If it is taken, a free one is used.
    #[arg(long, env = "SERVICE_PORT", default_value_t = 8080)]
    port: u16,
    /// Address of the API.
    #[arg(long, env = "SERVICE_HOST", default_value = "127.0.0.1")]
    host: String,
    /// Filter of the log on stderr.
    #[arg(long, env = "LOG_LEVEL", default_value = "warn")]
    log_level: String,
    #[command(flatten)]
    programs: ServerPrograms,
}

/// Permissions that only a flag gives.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Allowed {
    /// Manage the runners of the GitHub that the settings name. Anyone on this machine can be admin there: tokens of
    /// the development issuer need no password.
    #[arg(long)]
    real_github: bool,
    /// Add the demo team, its users and an admin without password to the database of `DATABASE_URL` although it has
    /// users.
    #[arg(long)]
    populated_database: bool,
}

/// Starts all parts, prints their addresses, and runs until a signal unless `--once` is given.
pub(crate) async fn run(args: DevArgs, config: Option<&Path>) -> anyhow::Result<()> {
    let sources = Sources::from_process(Mode::Development, config)?.set("LOG_LEVEL", args.log_level.as_str());
    if servers::names_github(&sources) && !args.allowed.real_github {
        let why = "the settings name a real GitHub (GITHUB_APP_ID or GITHUB_TOKEN_PATH), and with `rts dev` every user of this machine is its admin without a password; add --real-github if that is wanted, or unset them to use the GitHub twin";
        return Err(End::Refused(why.to_owned()).into());
    }
    let mut process = Process::start(&sources, "dev")?;
    let servers = Servers::start(&sources, &args).await?;
    let shown = show(&mut process, &servers, sources, &args).await;
    // All parts are stopped after a failure as well, the servers last.
    process.shutdown.begin();
    let ended = process.end().await;
    let stopped = servers.stop().await;
    shown.and(ended).and(stopped)
}

async fn show(
    process: &mut Process,
    servers: &Servers,
    sources: Sources,
    args: &DevArgs,
) -> anyhow::Result<()> {
    let draining = process.shutdown.draining().clone();
    let environment = tokio::select! {
        environment = Environment::build(process, servers, sources, args) => environment?,
        () = draining.cancelled() => return Ok(()),
    };
    tokio::select! {
        done = main_job::run(&environment) => done.context("the main job failed")?,
        () = draining.cancelled() => return Ok(()),
    }
    if args.once {
        return Ok(());
    }
    welcome::print(&environment)?;
    draining.cancelled().await;
    output::line("\nstopping");
    Ok(())
}
