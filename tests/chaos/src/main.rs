//! `./dev chaos`: a chaos run of any length.

use std::{io::Write, path::PathBuf, process::ExitCode};

use chaos::Plan;
use clap::Parser;
use rand::RngExt;

/// Breaks everything for a while under load, then reports whether every invariant held.
#[derive(Debug, Parser)]
#[command(
    name = "chaos",
    after_help = "Examples:\n  ./dev chaos\n  ./dev chaos --seed 7 --minutes 2\n  ./dev chaos --minutes 20 --ops 10000\n\nExits 0 when every promise was kept, 1 when one was not, 2 when it could not be found out."
)]
struct Args {
    /// Seed of the schedule of faults and operations. Default: a new one.
    #[arg(long)]
    seed: Option<u64>,
    /// Duration of the faults. Two minutes are the bounded run of the test suite.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(2..=1440))]
    minutes: u64,
    /// Approximate number of operations. Default: 550 a minute, close to GitHub's limits.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    ops: Option<u64>,
    /// Folder of PostgreSQL's server programs. Default: searched for.
    #[arg(long, env = "DEV_PG_BIN", value_name = "DIR")]
    pg_bin: Option<PathBuf>,
    /// Redis or Valkey server program. Default: searched for.
    #[arg(long, env = "DEV_REDIS_BIN", value_name = "FILE")]
    redis_bin: Option<PathBuf>,
    /// The rts to run. Default: built from this checkout.
    #[arg(long, value_name = "FILE")]
    rts: Option<PathBuf>,
    /// Only print the schedule.
    #[arg(long)]
    schedule: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let operations = usize::try_from(args.ops.unwrap_or(550 * args.minutes)).unwrap_or(usize::MAX);
    let mut plan = Plan::long(args.minutes, operations, seed);
    (plan.pg_bin, plan.redis_bin, plan.rts) = (args.pg_bin, args.redis_bin, args.rts);
    plan.progress = Some(|line| print(line));
    if args.schedule {
        for step in plan.schedule() {
            print(format_args!("{:>9.3} s  {}", step.at.as_secs_f64(), step.action));
        }
        return ExitCode::SUCCESS;
    }
    print(format_args!(
        "seed {seed}: about {} operations, {} s of faults; clocks of PostgreSQL and Redis: {}",
        plan.operations,
        plan.all().as_secs(),
        plan.clocks
    ));
    match run(&plan) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            print(format_args!("chaos: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Ctrl-C drops the run and with it every process that the run started.
fn run(plan: &Plan) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        tokio::select! {
            report = chaos::run(plan) => report,
            pressed = tokio::signal::ctrl_c() => {
                pressed?;
                anyhow::bail!("interrupted")
            }
        }
    })?;
    print(&report);
    Ok(report.passed())
}

fn print(text: impl std::fmt::Display) {
    // Output to a closed stdout is discarded.
    let _ = writeln!(std::io::stdout(), "{text}");
}
