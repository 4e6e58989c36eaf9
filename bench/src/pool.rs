//! Several Apps of one organisation, many installations, and many idle workers.

use std::time::Duration;

use anyhow::Context;
use domain::{InstallationId, TeamId};
use github_twin::{Bucket, Limits};
use installations::Installation;
use queue::{Claimer, Queue, QueueConfig, Ticket};
use redis::Client;
use runtime::shutdown::Shutdown;
use tokio::time::{Instant, sleep};

use crate::{
    budget::{self, MEASURED_MINUTES, MINUTE_SECONDS, MINUTE_SECONDS_F64},
    claims::{self, Clients},
    environment::{Environment, further_app},
    http_load, idle,
    report::{Report, Row, Target, quantile},
    scale::Scale,
    signal,
    tickets::provision_ticket,
};

/// Redis database of the first run; each run has its own.
const FIRST_REDIS: u16 = 50;
/// Redis database of the idle workers.
const IDLE_REDIS: u16 = 56;
/// Redis database of the claims.
const CLAIMS_REDIS: u16 = 60;
const LEASE: Duration = Duration::from_mins(1);
/// Part of the ceilings that must be used.
const CEILING_USED: f64 = 0.97;
const CEILING: &str = "points of all Apps, at most the registrations";
/// Claims a second that any number of workers must reach: five times what 64 installations allow.
const LEAST_CLAIMS: f64 = 1_000.0;
/// Most time of a claim with many installations, against one.
const MOST_CLAIM_RATIO: f64 = 1.5;
/// Most milliseconds that an installation without a due job adds to a claim that finds nothing.
const MOST_EMPTY_MILLIS: f64 = 0.05;
/// Most Redis commands of an idle worker in a second.
const MOST_IDLE_COMMANDS: f64 = 5.0;
/// Commands in a second that each further installation may add: its settings are compared once in ten seconds.
const COMPARED_SETTINGS: f64 = 0.15;
/// Most PostgreSQL transactions of an idle worker in a second.
const MOST_IDLE_TRANSACTIONS: f64 = 1.0;
/// Time until workers are idle.
const SETTLE: Duration = Duration::from_secs(3);

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    measure_apps(environment, scale, report).await?;
    measure_claims(environment, scale, report).await?;
    measure_workers(environment, scale, report).await?;
    measure_idle(environment, scale, report).await?;
    signal::measure(environment, scale, report).await
}

/// The limit that stops the Apps of one run first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Limit {
    /// A primary window of 100 requests in ten seconds for each App, a tenth of which is reserved for removals.
    Windows,
    /// 900 points a minute for each App, which are 180 configs, and 1,500 registrations in five minutes, which GitHub
    /// counts for the whole organisation.
    Minute,
}

/// Configs a minute that one App's points allow.
const POINTS_RATE: u32 = 180;
/// Configs a minute that the organisation's registrations allow.
const REGISTRATIONS_RATE: u32 = 300;

/// One run with several Apps.
#[derive(Clone, Copy)]
struct AppsRun {
    apps: u32,
    limit: Limit,
}

impl AppsRun {
    const fn registrations(self) -> u32 {
        match self.limit {
            Limit::Windows => 1_000_000,
            Limit::Minute => REGISTRATIONS_RATE * 5,
        }
    }

    fn limits(self) -> Limits {
        let minutes = |n: u64| n * MINUTE_SECONDS;
        let primary = match self.limit {
            Limit::Windows => Bucket::new(100, 10),
            Limit::Minute => Bucket::new(5000, minutes(60)),
        };
        Limits {
            primary: Some(primary),
            points: Some(Bucket::new(900, minutes(1))),
            registrations: Some(Bucket::new(self.registrations(), minutes(5))),
            ..Limits::github()
        }
    }

    /// Returns the runners per second that the limits of all Apps allow together.
    fn runners_per_second(self) -> f64 {
        match self.limit {
            Limit::Windows => f64::from(self.apps) * 9.0,
            Limit::Minute => f64::from(self.most_a_minute()) / MINUTE_SECONDS_F64,
        }
    }

    /// Returns the configs that points and registrations allow in a minute.
    fn most_a_minute(self) -> u32 {
        (self.apps * POINTS_RATE).min(REGISTRATIONS_RATE)
    }

    fn installations(self, environment: &Environment) -> anyhow::Result<Vec<Installation>> {
        let mut all = vec![budget::first_app(environment)?];
        for number in 1..u64::from(self.apps) {
            let more = further_app(number);
            let further = budget::app(environment, more.app_id, more.installation_id)?;
            let (id, pool) = (more.slug.parse()?, Some(InstallationId::default()));
            all.push(Installation { id, pool, ..further });
        }
        for one in &mut all {
            one.budget.registrations = self.registrations();
        }
        Ok(all)
    }

    fn row(self, created: f64) -> Row {
        let apps = self.apps;
        match self.limit {
            Limit::Windows => {
                let used = budget::percent_used(created, self.runners_per_second());
                let name = format!("of the windows of {apps} Apps used, less the reserve");
                Row::new(name, "%", &[used]).target(Target::AtLeast(CEILING_USED * 100.0))
            }
            Limit::Minute => {
                let ceiling = f64::from(self.most_a_minute());
                let row =
                    Row::new(format!("configs issued by {apps} Apps"), "/min", &[created / MEASURED_MINUTES]);
                row.target(Target::AtLeast(ceiling * CEILING_USED)).yardstick(CEILING, &[ceiling])
            }
        }
    }
}

async fn measure_apps(environment: &Environment, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let apps: &[u32] = if scale.repetitions > 1 { &[1, 2, 4] } else { &[2] };
    let of = |limit| apps.iter().map(move |apps| AppsRun { apps: *apps, limit });
    let runs: Vec<AppsRun> = of(Limit::Minute).chain(of(Limit::Windows)).collect();
    let mut violations = 0;
    for (nth, one) in runs.iter().enumerate() {
        let deployment = environment.deployment(&format!("pool_{nth}"), FIRST_REDIS + u16::try_from(nth)?)?;
        environment.twin.control().set_limits(one.limits());
        environment.twin.control().clear_ledger();
        let installations = one.installations(environment)?;
        let created = budget::runners_created(&deployment, &installations, 4, one.runners_per_second()).await;
        violations += environment.twin.summary().violations.values().sum::<u64>();
        environment.twin.control().set_limits(Limits::off());
        for runner in environment.twin.runners() {
            environment.twin.remove_runner(runner.id)?;
        }
        report.push(one.row(created?));
    }
    let violations = f64::from(u32::try_from(violations)?);
    report.push(
        Row::new("limits of Apps crossed, by the twin's ledger", "", &[violations])
            .target(Target::AtMost(0.0)),
    );
    Ok(())
}

async fn measure_claims(environment: &Environment, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let mut alone = None;
    for (installations, number) in [(1, 1.0), (64, 64.0), (256, 256.0)] {
        let (busy, empty) = (
            claim_time(environment, installations, scale.singles, Duration::ZERO).await?,
            claim_time(environment, installations, scale.singles, Duration::from_hours(1)).await?,
        );
        let of_one = *alone.get_or_insert(busy);
        let row = Row::new(format!("one claim, {installations} installations with jobs"), "ms", &[busy]);
        report.push(row.target(Target::AtMost(of_one * MOST_CLAIM_RATIO)));
        let name = format!("a claim that finds nothing, {installations} installations");
        let most = of_one + number * MOST_EMPTY_MILLIS;
        report.push(Row::new(name, "ms", &[empty]).target(Target::AtMost(most)));
    }
    Ok(())
}

async fn measure_workers(environment: &Environment, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    for number in [1, 16, 64] {
        let mut rates = Vec::new();
        for _ in 0..scale.repetitions {
            let clients = Clients { number, want: 1 };
            rates.push(claims::claims_per_second(environment, scale.jobs, clients).await?);
        }
        let row = Row::new(format!("jobs claimed one by one, {number} workers on one Redis"), "/s", &rates);
        report.push(row.target(Target::AtLeast(LEAST_CLAIMS)));
    }
    Ok(())
}

/// Returns the median milliseconds of a claim of one job while each installation has some, delayed by `delay`.
async fn claim_time(
    environment: &Environment,
    installations: usize,
    claims: usize,
    delay: Duration,
) -> anyhow::Result<f64> {
    let url = environment.redis_url(CLAIMS_REDIS);
    let mut connection = Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
    redis::cmd("FLUSHDB").query_async::<()>(&mut connection).await?;
    let queue =
        Queue::connect(&QueueConfig { installations_per_claim: 1000, ..QueueConfig::new(url, "pool") })?;
    let (names, team) = (names(installations)?, TeamId::new());
    for name in &names {
        claims::widen_budget(&queue, name).await?;
    }
    let ticket = |nth: usize| Ticket {
        installation: names[nth % names.len()].clone(),
        delay,
        ..provision_ticket(team)
    };
    let tickets: Vec<_> = (0..names.len().max(100) * 4).map(ticket).collect();
    queue.enqueue(&tickets).await?;
    let (claimer, mut times) = (Claimer::new("pool", LEASE), Vec::with_capacity(claims));
    for nth in 0..claims {
        let start = Instant::now();
        let claim = queue.claim(&claimer, 1).await?;
        times.push(http_load::millis(start.elapsed()));
        if let Some(lease) = claim.jobs.first() {
            queue.finish(lease).await?;
            queue.enqueue(&[ticket(nth)]).await?;
        }
    }
    Ok(quantile(&times, 0.5))
}

fn names(number: usize) -> anyhow::Result<Vec<InstallationId>> {
    (0..number).map(|nth| format!("i-{nth}").parse().context("a name")).collect()
}

async fn measure_idle(environment: &Environment, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let deployment = environment.deployment("pool_idle", IDLE_REDIS)?;
    deployment.start_api().await?.stop().await?;
    // The run with many installations is the last one: Redis keeps their settings.
    let runs: [(u32, u32); 4] = [(1, 1), (16, 1), (64, 1), (1, 64)];
    for (workers, installations) in runs {
        let first = budget::first_app(environment)?;
        let more = names(usize::try_from(installations)? - 1)?
            .into_iter()
            .map(|id| Installation { id, ..first.clone() });
        let apps: Vec<_> = std::iter::once(first.clone()).chain(more).collect();
        let (shutdown, mut running) = (Shutdown::new(), Vec::new());
        for nth in 0..workers {
            let parts = budget::worker_parts(&deployment, &apps, usize::try_from(nth)?)?;
            running.push(tokio::spawn(worker::run(parts, shutdown.clone())));
        }
        sleep(SETTLE).await;
        // Several times, because PostgreSQL's own tasks count too.
        let (mut commands, mut transactions) = (Vec::new(), Vec::new());
        for _ in 0..scale.repetitions {
            // As long as the settings are checked once.
            let load = idle::load(&deployment, Duration::from_secs(scale.idle.max(10))).await?;
            commands.push(load.commands);
            transactions.push(load.transactions);
        }
        shutdown.begin();
        for worker in running {
            worker.await??;
        }
        let of = format!("{workers} idle workers, {installations} installations");
        let row = Row::new(format!("Redis commands of {of}"), "/s", &commands);
        let each = MOST_IDLE_COMMANDS + COMPARED_SETTINGS * f64::from(installations - 1);
        report.push(row.target(Target::AtMost(each * f64::from(workers))));
        let row = Row::new(format!("PostgreSQL transactions of {of}"), "/s", &transactions);
        report.push(row.target(Target::AtMost(MOST_IDLE_TRANSACTIONS * f64::from(workers))));
    }
    Ok(())
}
