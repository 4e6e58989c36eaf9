//! `rts bench`: what the service takes and gives, beside yardsticks measured in the same run.
//!
//! Everything is on this machine: private servers that write to disk as production does, a fake GitHub without
//! latency or limits, api and worker as processes of their own, and the load.

mod accept;
mod budget;
mod churn;
mod claims;
mod fairness;
mod idle;
mod lead;
mod lists;
mod load;
mod memory;
mod part;
mod peers;
mod pickup;
mod ready;
mod recovery;
mod report;
mod section;
mod sync;
mod tickets;
mod waiting;
mod webhooks;
mod world;
mod yardstick;

use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use domain::Secret;
use runtime::shutdown::Shutdown;

use crate::{dev::Programs, output};
use report::Report;
use section::Section;
use world::World;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ./dev bench\n  rts bench --quick\n  rts bench --only claims,budget\n  rts bench --only churn,lists\n  rts bench --output json > bench.json\n\nA release build tells the truth; a debug build only shows that it works. Takes some minutes, --quick half a one."
)]
pub(crate) struct BenchArgs {
    /// Once instead of three times, and less of everything.
    #[arg(long)]
    quick: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    only: Vec<Section>,
    #[command(flatten)]
    programs: Programs,
    /// Be the yardstick on this database.
    #[arg(long, hide = true, value_name = "URL")]
    yardstick: Option<String>,
    /// Only our queue beside others, as `./dev bench --peers` has installed them in this folder.
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, default_missing_value = peers::FOLDER, conflicts_with = "only")]
    peers: Option<PathBuf>,
    /// Be our own queue among them, and do this.
    #[arg(long, hide = true, value_name = "JSON")]
    peer: Option<String>,
}

impl BenchArgs {
    fn sections(&self) -> &[Section] {
        if self.only.is_empty() { Section::value_variants() } else { &self.only }
    }
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// Times each figure is taken.
    repetitions: usize,
    /// Seconds of load in each.
    seconds: u64,
    /// Jobs one after the other for each latency.
    singles: usize,
    /// Jobs before memory is looked at.
    jobs: usize,
    /// Seconds of idleness.
    idle: u64,
}

const FULL: Scale = Scale { repetitions: 3, seconds: 5, singles: 300, jobs: 10_000, idle: 15 };
const QUICK: Scale = Scale { repetitions: 1, seconds: 2, singles: 60, jobs: 1_000, idle: 3 };

/// Measures and prints; ends early on a signal.
pub(crate) async fn run(args: BenchArgs) -> anyhow::Result<()> {
    if let Some(url) = &args.yardstick {
        return yardstick::serve(&Secret::new(url.as_str())).await;
    }
    if let Some(ask) = &args.peer {
        return peers::be(ask).await;
    }
    let shutdown = Shutdown::new();
    shutdown.listen().context("cannot listen for signals")?;
    let scale = if args.quick { QUICK } else { FULL };
    let world = World::start(&args.programs).await?;
    let measured = tokio::select! {
        measured = measure(&world, scale, &args) => measured,
        () = shutdown.draining().cancelled() => Err(anyhow::anyhow!("interrupted")),
    };
    // The processes are gone with the measurement; the servers go last, also when it failed.
    world.stop().await?;
    let report = measured?;
    match args.output {
        Output::Table => output::line(report.table()),
        Output::Json => output::line(serde_json::to_string_pretty(&report)?),
    }
    Ok(())
}

async fn measure(world: &World, scale: Scale, args: &BenchArgs) -> anyhow::Result<Report> {
    let mut report = Report::new();
    if let Some(folder) = &args.peers {
        report.beside(peers::measure(world, folder, scale).await?);
        return Ok(report);
    }
    for section in args.sections() {
        output::note(format_args!("{} …", section.title()));
        section.measure(world, scale, &mut report).await?;
    }
    Ok(report)
}
