//! Share of GitHub's limits that is used, by one worker and by many, and crossings of any limit. The GitHub twin limits
//! as GitHub does, but its minute lasts twelve seconds.

use std::time::Duration;

use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use domain::{DriftRules, InstallationId, KeyRing, Secret};
use github::{Credential, GitHubSettings, KeySource, Scope};
use github_twin::{Bucket, Limits, TwinConfig};
use installations::{Installation, Installations};
use queue::BudgetSettings;
use runtime::{health::LoopMonitor, shutdown::Shutdown};
use store::Store;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Scale,
    load::{self, Ask},
    report::{Report, Row, Target},
    world::{Site, World},
};

/// What a minute lasts here, in seconds.
const MINUTE: u64 = 12;
const MINUTE_S: f64 = 12.0;
/// How many such minutes one figure is taken over.
const MINUTES: u64 = 3;
const FIRST_REDIS: u16 = 30;
const PATIENCE: Duration = Duration::from_secs(30);
const JIT: &str = "POST /orgs/{org}/actions/runners/generate-jitconfig";

/// Which limit is met first.
#[derive(Clone, Copy)]
enum Met {
    /// 900 points a minute: 180 runners.
    Points,
    /// A primary window of 100 in ten seconds, of which a tenth is kept for removals.
    Window,
}

impl Met {
    fn limits(self) -> Limits {
        let minutes = |n: u64| n * MINUTE;
        let primary = match self {
            Self::Points => Bucket::new(5000, minutes(60)),
            Self::Window => Bucket::new(100, 10),
        };
        Limits {
            primary: Some(primary),
            points: Some(Bucket::new(900, minutes(1))),
            registrations: Some(Bucket::new(1500, minutes(5))),
            ..Limits::github()
        }
    }

    /// Runners a second that a client which keeps its reserve may make.
    const fn allowed(self) -> f64 {
        match self {
            Self::Points => 180.0 / MINUTE_S,
            Self::Window => 9.0,
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Points => "points",
            Self::Window => "window less reserve",
        }
    }
}

pub(super) async fn measure(world: &World, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let runs: &[(Met, usize)] = if scale.repetitions > 1 {
        &[(Met::Points, 1), (Met::Points, 4), (Met::Points, 16), (Met::Window, 4)]
    } else {
        &[(Met::Points, 4)]
    };
    let mut violations = 0;
    for (nth, (met, workers)) in runs.iter().enumerate() {
        let site = world.site(&format!("budget_{nth}"), FIRST_REDIS + u16::try_from(nth)?)?;
        world.twin.control().set_limits(met.limits());
        world.twin.control().clear_ledger();
        let used = one(&site, *met, *workers).await;
        violations += world.twin.summary().violations.values().sum::<u64>();
        world.twin.control().set_limits(Limits::off());
        for runner in world.twin.runners() {
            world.twin.remove_runner(runner.id)?;
        }
        let row = Row::new(format!("of GitHub's {} used, {workers} workers", met.what()), "%", &[used?]);
        report.push(row.target(Target::AtLeast(95.0)));
    }
    let violations = f64::from(u32::try_from(violations)?);
    report
        .push(Row::new("limits crossed, by GitHub's ledger", "", &[violations]).target(Target::AtMost(0.0)));
    Ok(())
}

/// Percent of what was allowed in some of GitHub's minutes.
async fn one(site: &Site<'_>, met: Met, workers: usize) -> anyhow::Result<f64> {
    let mut api = site.api().await?;
    let (address, callers, queue) = (api.address().await?, site.callers().await?, site.queue().await?);
    let (installation, budget) = installation(site.world())?;
    queue.set_budget(&installation.id, &budget).await?;
    let time = Duration::from_secs(MINUTE * MINUTES);
    // Enough that there is always more to do.
    load::closed_loop(&Ask::provision(&address, &callers), PATIENCE, 1200).await?;
    api.stop().await?;
    let (shutdown, mut running) = (Shutdown::new(), Vec::new());
    for nth in 0..workers {
        let parts = worker(site, &installation, nth)?;
        running.push(tokio::spawn(worker::run(parts, shutdown.clone())));
    }
    let made = || site.world().twin.summary().by_operation.get(JIT).copied().unwrap_or(0);
    let begun = Instant::now();
    while made() == 0 {
        ensure!(begun.elapsed() < PATIENCE, "no runner is made");
        sleep(Duration::from_millis(2)).await;
    }
    sleep_until(Instant::now() + time).await;
    let made = f64::from(u32::try_from(made())?);
    shutdown.begin();
    for worker in running {
        worker.await??;
    }
    Ok(made * 100.0 / (met.allowed() * time.as_secs_f64()))
}

fn installation(world: &World) -> anyhow::Result<(Installation, BudgetSettings)> {
    let config = TwinConfig::default();
    let key = world.twin.app_key().context("the twin has no key")?;
    let credential = Credential::App {
        app_id: config.app_id.to_string(),
        installation_id: config.installation_id,
        private_key: KeySource::Pem(Secret::new(key.private_pem())),
    };
    let minute = Duration::from_secs(MINUTE);
    let budget = BudgetSettings {
        minute,
        registrations_period: minute * 5,
        team_running: 1000,
        ..BudgetSettings::default()
    };
    let github = GitHubSettings::new(world.twin.url().parse()?, Scope::Org(config.org), credential);
    Ok((Installation { id: InstallationId::default(), github, budget: budget.clone() }, budget))
}

fn worker(site: &Site<'_>, installation: &Installation, nth: usize) -> anyhow::Result<worker::Parts> {
    let queue = site.spine_only()?;
    let keys = KeyRing::new(&[("bench".to_owned(), STANDARD.decode(site.key())?.into())])?;
    Ok(worker::Parts {
        store: Store::new(&Secret::new(site.world().database_url(&site.database)), 3)?,
        installations: Installations::new(&queue, &keys, vec![installation.clone()])?,
        queue,
        keys,
        config_life: TimeDelta::hours(1),
        drift: DriftRules::default(),
        concurrency: 8,
        lease: Duration::from_secs(15),
        timeouts: worker::StepTimeouts::default(),
        name: format!("bench-{nth}"),
        progress: LoopMonitor::new(),
    })
}
