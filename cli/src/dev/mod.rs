//! `rts dev`: everything on this machine, without credentials, and the main job once.

pub(crate) mod demo_users;
mod environment;
mod main_job;
mod ports;
pub(crate) mod seed;
pub(crate) mod servers;
mod welcome;

use std::path::{Path, PathBuf};

use anyhow::Context;
use runtime::config::{Mode, Sources};

use crate::{exit::End, output, process::Process};
use environment::Environment;
use servers::Servers;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  rts dev\n  rts dev --once\n  rts dev --fresh --port 9000\n  DATABASE_URL=postgres://… REDIS_URL=redis://… rts dev\n\nWhat is not configured is made: private PostgreSQL and Redis, a fake GitHub, an identity provider."
)]
pub(crate) struct DevArgs {
    /// End after the main job, with 0 if it succeeded. Keeps no data unless --data is given.
    #[arg(long)]
    once: bool,
    /// Begin with empty private servers.
    #[arg(long)]
    fresh: bool,
    /// Keep the private servers' data in this folder. Without it: a folder that belongs to the checkout.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    allowed: Allowed,
    /// The port of the API. When it is taken, a free one is used.
    #[arg(long, env = "SERVICE_PORT", default_value_t = 8080)]
    port: u16,
    /// The address of the API.
    #[arg(long, env = "SERVICE_HOST", default_value = "127.0.0.1")]
    host: String,
    /// What is logged, on stderr.
    #[arg(long, env = "LOG_LEVEL", default_value = "warn")]
    log_level: String,
    #[command(flatten)]
    programs: Programs,
}

/// Permissions that only a flag gives.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Allowed {
    /// Manage the runners of the GitHub that the settings name. Everybody on this machine can be admin there: tokens of the
    /// development issuer need no password.
    #[arg(long)]
    real_github: bool,
    /// Add the demo team, its users and an admin without password to the database of `DATABASE_URL` although it has users.
    #[arg(long)]
    populated_database: bool,
}

/// Where the server programs are.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Programs {
    /// The folder of PostgreSQL's server programs. Without it: looked for.
    #[arg(long, env = "DEV_PG_BIN", value_name = "DIR")]
    pub(crate) pg_bin: Option<PathBuf>,
    /// The Redis or Valkey server program. Without it: looked for.
    #[arg(long, env = "DEV_REDIS_BIN", value_name = "FILE")]
    pub(crate) redis_bin: Option<PathBuf>,
}

/// Starts everything, shows it, and stays until a signal unless told otherwise.
pub(crate) async fn run(args: DevArgs, config: Option<&Path>) -> anyhow::Result<()> {
    let sources = Sources::from_process(Mode::Development, config)?.set("LOG_LEVEL", args.log_level.as_str());
    if servers::names_github(&sources) && !args.allowed.real_github {
        let why = "the settings name a real GitHub (GITHUB_APP_ID or GITHUB_TOKEN_PATH), and with `rts dev` everybody on this machine is its admin without a password; add --real-github if that is wanted, or unset them to use the GitHub twin";
        return Err(End::Refused(why.to_owned()).into());
    }
    let mut process = Process::start(&sources, "dev")?;
    let servers = Servers::start(&sources, &args).await?;
    let shown = show(&mut process, &servers, sources, &args).await;
    // However it went, everything is taken down, the servers last.
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
    let stage = tokio::select! {
        stage = Environment::build(process, servers, sources, args) => stage?,
        () = draining.cancelled() => return Ok(()),
    };
    tokio::select! {
        done = main_job::run(&stage) => done.context("the main job failed")?,
        () = draining.cancelled() => return Ok(()),
    }
    if args.once {
        return Ok(());
    }
    welcome::print(&stage)?;
    draining.cancelled().await;
    output::line("\nstopping");
    Ok(())
}
