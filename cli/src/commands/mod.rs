//! Commands of `rts`, one file each.

mod access;
mod admin;
pub(crate) mod api;
mod audit;
mod audit_chain;
pub(crate) mod database;
pub(crate) mod doctor;
mod health;
mod label_policies;
pub(crate) mod list_users;
mod predecessor;
mod print;
pub(crate) mod runners;
mod scheduler;
mod worker;

use runtime::config::{Mode, Sources};

use crate::{
    args::{
        Args, Command, Output, WorkerArgs,
        audit::{AuditVerb, VerifyAudit},
    },
    help, output,
};

/// Runs the given command.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let production = || Sources::from_process(Mode::Production, args.config.as_deref());
    match args.command {
        Command::Audit(noun) => {
            let (common, verb) = noun.into_parts();
            match verb {
                AuditVerb::Remote(verb) => Ok(client::run_audit(&common, verb).await?),
                AuditVerb::Verify(what) => {
                    let output = if common.wants_json() { Output::Json } else { Output::Table };
                    audit_chain::verify(&production()?, VerifyAudit { what, output }).await
                }
            }
        }
        Command::Api => api::run(&production()?).await,
        Command::Worker(WorkerArgs { verb: Some(verb), .. }) => Ok(client::run_worker(verb).await?),
        Command::Worker(WorkerArgs { part, verb: None }) => worker::run(&production()?, part).await,
        Command::Scheduler(part) => scheduler::run(&production()?, part).await,
        Command::InitDb { app_role } => database::init(&production()?, app_role.as_deref()).await,
        Command::CreateAdmin(who) => admin::create(&production()?, who).await,
        Command::Access(access) => access::run(&production()?, access).await,
        Command::SyncGithub { confirm_removals, installation } => {
            runners::sync(&production()?, installation.as_ref(), confirm_removals).await
        }
        Command::ListUsers(which) => list_users::list(&production()?, &which).await,
        Command::ExportAuditLog(which) => audit::export(&production()?, which).await,
        Command::VerifyAuditLog(which) => audit_chain::verify(&production()?, which).await,
        Command::ListRunners(which) => runners::list(&production()?, which).await,
        Command::CleanupStaleRunners(which) => runners::clean_up(&production()?, which).await,
        Command::Remote(command) => Ok(client::run(*command).await?),
        Command::MigrateLabelPolicies(which) => label_policies::migrate(&production()?, &which).await,
        Command::ImportPredecessor(which) => predecessor::import(&production()?, &which).await,
        Command::Openapi => print::openapi(),
        Command::Doctor(which) => doctor::run(args.config.as_deref(), &which).await,
        Command::Health { url } => health::run(&url).await,
        Command::Settings { markdown } => {
            output::line(
                if markdown { runtime::config::markdown() } else { runtime::config::help() }.trim_end(),
            );
            Ok(())
        }
        Command::Completions { shell } => {
            output::line(help::completion_script(shell)?.trim_end());
            Ok(())
        }
        Command::Man { folder } => print::man(&folder),
        #[cfg(feature = "dev")]
        Command::Dev(dev) => crate::dev::run(dev, args.config.as_deref()).await,
        #[cfg(feature = "dev")]
        Command::Bench(args) => bench::run(args).await,
    }
}
