//! Share of GitHub's limits that workers use, and violations of any limit.
//!
//! The GitHub twin has GitHub's limits, but its minute lasts twelve seconds.

use std::time::Duration;

use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use domain::{DriftRules, InstallationId, KeyRing, Secret};
use github::{Credential, GitHubSettings, KeySource, Scope};
use github_twin::{Bucket, Limits, TwinConfig};
use installations::{Installation, Installations};
use queue::{BudgetSettings, InstallationBudget, PoolPlace};
use runtime::{health::LoopMonitor, shutdown::Shutdown};
use store::Store;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    environment::{Deployment, Environment},
    http_load::{self, PostRequests},
    report::{Report, Row, Target},
    scale::Scale,
};

/// Seconds of the twin's minute.
pub(crate) const MINUTE_SECONDS: u64 = 12;
pub(crate) const MINUTE_SECONDS_F64: f64 = 12.0;
/// Length of one measurement in the twin's minutes.
pub(crate) const MEASURED_MINUTES: f64 = 3.0;
/// Length of one measurement.
const MEASURED: Duration = Duration::from_secs(MINUTE_SECONDS * 3);
/// Redis database of the first run; each run has its own.
const FIRST_REDIS: u16 = 30;
const TIMEOUT: Duration = Duration::from_secs(30);
const JIT_OPERATION: &str = "POST /orgs/{org}/actions/runners/generate-jitconfig";

/// The limit that stops the workers first.
#[derive(Clone, Copy)]
enum Limit {
    /// 900 points per minute, enough for 180 runners.
    Points,
    /// A primary window of 100 requests in ten seconds, a tenth of which is reserved for removals.
    Window,
}

impl Limit {
    fn limits(self) -> Limits {
        let minutes = |n: u64| n * MINUTE_SECONDS;
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

    /// Returns the runners per second that the limit, less the reserve, allows.
    const fn runners_per_second(self) -> f64 {
        match self {
            Self::Points => 180.0 / MINUTE_SECONDS_F64,
            Self::Window => 9.0,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Points => "points",
            Self::Window => "window less reserve",
        }
    }
}

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let runs: &[(Limit, usize)] = if scale.repetitions > 1 {
        &[(Limit::Points, 1), (Limit::Points, 4), (Limit::Points, 16), (Limit::Window, 4)]
    } else {
        &[(Limit::Points, 4)]
    };
    let mut violations = 0;
    for (nth, (limit, workers)) in runs.iter().enumerate() {
        let deployment =
            environment.deployment(&format!("budget_{nth}"), FIRST_REDIS + u16::try_from(nth)?)?;
        environment.twin.control().set_limits(limit.limits());
        environment.twin.control().clear_ledger();
        let installations = [first_app(environment)?];
        let rate = limit.runners_per_second();
        let created = runners_created(&deployment, &installations, *workers, rate).await;
        violations += environment.twin.summary().violations.values().sum::<u64>();
        environment.twin.control().set_limits(Limits::off());
        for runner in environment.twin.runners() {
            environment.twin.remove_runner(runner.id)?;
        }
        let used = percent_used(created?, rate);
        let row = Row::new(format!("of GitHub's {} used, {workers} workers", limit.name()), "%", &[used]);
        report.push(row.target(Target::AtLeast(95.0)));
    }
    let violations = f64::from(u32::try_from(violations)?);
    report.push(
        Row::new("limits crossed, by the twin's ledger", "", &[violations]).target(Target::AtMost(0.0)),
    );
    Ok(())
}

/// Returns the percentage that a number of runners is of those that this rate allows in one measurement.
pub(crate) fn percent_used(created: f64, runners_per_second: f64) -> f64 {
    created * 100.0 / (runners_per_second * MEASURED.as_secs_f64())
}

/// Returns the number of runners that workers with these Apps created in one measurement, while more were asked for
/// than this rate allows. The first App is the pool of the others.
pub(crate) async fn runners_created(
    deployment: &Deployment<'_>,
    apps: &[Installation],
    workers: usize,
    runners_per_second: f64,
) -> anyhow::Result<f64> {
    let mut api = deployment.start_api().await?;
    let (address, callers, queue) =
        (api.address().await?, deployment.create_callers().await?, deployment.queue_without_limits().await?);
    // Before the first claim: a worker writes them at its start, but does not wait for that.
    queue.write_budgets(&budgets(apps), false).await?;
    let allowed = runners_per_second * MEASURED.as_secs_f64();
    // More jobs than the limit allows.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousand jobs")]
    let jobs = ((allowed * 1.5) as usize).max(1200);
    http_load::run_closed_loop(&PostRequests::provision(&address, &callers), TIMEOUT, jobs).await?;
    api.stop().await?;
    let (shutdown, mut running) = (Shutdown::new(), Vec::new());
    for nth in 0..workers {
        let parts = worker_parts(deployment, apps, nth)?;
        running.push(tokio::spawn(worker::run(parts, shutdown.clone())));
    }
    let created =
        || deployment.environment().twin.summary().by_operation.get(JIT_OPERATION).copied().unwrap_or(0);
    let start = Instant::now();
    while created() == 0 {
        ensure!(start.elapsed() < TIMEOUT, "no runner was created");
        sleep(Duration::from_millis(2)).await;
    }
    sleep_until(Instant::now() + MEASURED).await;
    let created = f64::from(u32::try_from(created())?);
    shutdown.begin();
    for worker in running {
        worker.await??;
    }
    Ok(created)
}

fn budgets(apps: &[Installation]) -> Vec<InstallationBudget> {
    let further = apps.iter().filter(|app| app.pool.is_some()).map(|app| app.id.clone());
    let further: Vec<_> = further.collect();
    let place = |app: &Installation| match &app.pool {
        Some(pool) => PoolPlace::Further(pool.clone()),
        None => PoolPlace::First(further.clone()),
    };
    let budget = |app: &Installation| InstallationBudget {
        installation: app.id.clone(),
        settings: app.budget.clone(),
        place: place(app),
    };
    apps.iter().map(budget).collect()
}

/// Returns the twin's first App, with GitHub's limits and the short minute.
pub(crate) fn first_app(environment: &Environment) -> anyhow::Result<Installation> {
    let config = TwinConfig::default();
    app(environment, config.app_id, config.installation_id)
}

/// Returns the App with these ids as the installation `default`.
pub(crate) fn app(
    environment: &Environment,
    app_id: u64,
    installation_id: u64,
) -> anyhow::Result<Installation> {
    let key = environment.twin.app_key().context("the twin has no key")?;
    let private_key = KeySource::Pem(Secret::new(key.private_pem()));
    let credential = Credential::App { app_id: app_id.to_string(), installation_id, private_key };
    let minute = Duration::from_secs(MINUTE_SECONDS);
    let budget = BudgetSettings {
        minute,
        registrations_period: minute * 5,
        team_running: 1000,
        ..BudgetSettings::default()
    };
    let scope = Scope::Org(TwinConfig::default().org);
    let github = GitHubSettings::new(environment.twin.url().parse()?, scope, credential);
    Ok(Installation { id: InstallationId::default(), pool: None, github, budget })
}

/// Returns the parts of a worker with these Apps.
pub(crate) fn worker_parts(
    deployment: &Deployment<'_>,
    apps: &[Installation],
    nth: usize,
) -> anyhow::Result<worker::Parts> {
    let queue = deployment.queue()?;
    let keys = KeyRing::new(&[("bench".to_owned(), STANDARD.decode(deployment.credential_key())?.into())])?;
    Ok(worker::Parts {
        store: Store::new(&Secret::new(deployment.database_url.as_str()), 3)?,
        installations: Installations::new(&queue, &keys, apps.to_vec())?,
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
