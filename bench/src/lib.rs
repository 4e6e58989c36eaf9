//! Benchmark of the service: `rts bench` measures what it accepts, claims and uses, beside yardsticks of the same run.
//!
//! Everything runs on this machine: private PostgreSQL and Redis servers that write to disk as production does, a GitHub
//! twin without latency or limits, the API and the workers as processes of their own, and the load. Each section
//! (`section.rs`) has a module.
//!
//! The program that calls [`run`] must be `rts`: the benchmark starts it again with `api`, `worker`, `scheduler`, and
//! with `bench` for the yardstick.

mod accepting;
mod apply;
mod budget;
mod churn;
mod claims;
mod environment;
mod fairness;
mod http_load;
mod idle;
mod large_installation;
mod large_lists;
mod lists;
mod output;
mod peers;
mod pickup;
mod pool;
mod process;
mod provision_command;
mod recovery;
mod report;
mod scale;
mod section;
mod signal;
mod sync;
mod tabs;
mod takeover;
mod throughput;
mod tickets;
mod time_to_config;
mod waiting;
mod webhooks;
mod yardstick;

use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use devstack::ServerPrograms;
use domain::Secret;
use runtime::shutdown::Shutdown;

use environment::{Choices, Environment};
use report::Report;
use scale::Scale;
use section::Section;

/// Arguments of `rts bench`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ./dev bench\n  rts bench --quick\n  rts bench --only claims,budget\n  rts bench --only churn,lists\n  rts bench --output json > bench.json\n\nOnly figures of a release build count; a debug build shows that the benchmark works. It takes some minutes, --quick half a minute."
)]
pub struct BenchArgs {
    /// Measure once instead of three times, with less load.
    #[arg(long)]
    quick: bool,
    /// Format of the result.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Only these sections.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    only: Vec<Section>,
    /// Database for the rows of `large-lists`. They are made if it is empty, and a later run finds them there.
    #[arg(long, value_name = "URL")]
    large_database: Option<String>,
    /// Program whose start and provisions `provision` measures, for example the users' own; by default this program.
    #[arg(long, value_name = "FILE")]
    client_program: Option<PathBuf>,
    #[command(flatten)]
    programs: ServerPrograms,
    /// Serve the yardstick of accepting on this database.
    #[arg(long, hide = true, value_name = "URL")]
    yardstick: Option<String>,
    /// Only our queue beside other queues, which `./dev bench --peers` has installed in this folder.
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, default_missing_value = peers::DEFAULT_FOLDER, conflicts_with = "only")]
    peers: Option<PathBuf>,
    /// Run our own queue as one of the peers: a request as JSON.
    #[arg(long, hide = true, value_name = "JSON")]
    peer: Option<String>,
}

impl BenchArgs {
    /// Returns the sections that were named, or all that take minutes.
    fn sections(&self) -> Vec<Section> {
        if !self.only.is_empty() {
            return self.only.clone();
        }
        let all = Section::value_variants().iter().copied();
        all.filter(|section| !matches!(section, Section::LargeLists | Section::Pool)).collect()
    }
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Measures and prints the result. A signal ends it early.
///
/// # Errors
///
/// Fails if a server or process cannot be started, or if a measurement does not find what it has to measure.
pub async fn run(args: BenchArgs) -> anyhow::Result<()> {
    if let Some(url) = &args.yardstick {
        return yardstick::serve(&Secret::new(url.as_str())).await;
    }
    if let Some(request) = &args.peer {
        return peers::run_own_queue(request).await;
    }
    let shutdown = Shutdown::new();
    shutdown.listen().context("cannot listen for signals")?;
    let scale = if args.quick { Scale::QUICK } else { Scale::FULL };
    let choices =
        Choices { large_database: args.large_database.clone(), client_program: args.client_program.clone() };
    let environment = Environment::start(&args.programs, choices).await?;
    let measured = tokio::select! {
        measured = measure(&environment, scale, &args) => measured,
        () = shutdown.draining().cancelled() => Err(anyhow::anyhow!("interrupted")),
    };
    // The processes have ended with the measurement. The servers are stopped last, after a failure as well.
    environment.stop().await?;
    let report = measured?;
    match args.output {
        Output::Table => output::print_result(report.table()),
        Output::Json => output::print_result(serde_json::to_string_pretty(&report)?),
    }
    Ok(())
}

async fn measure(environment: &Environment, scale: Scale, args: &BenchArgs) -> anyhow::Result<Report> {
    let mut report = Report::new();
    if let Some(folder) = &args.peers {
        report.set_peers(peers::measure(environment, folder, scale).await?);
        return Ok(report);
    }
    for section in args.sections() {
        output::print_progress(format_args!("{} …", section.title()));
        section.measure(environment, scale, &mut report).await?;
    }
    Ok(report)
}
