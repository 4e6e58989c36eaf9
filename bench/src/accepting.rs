//! Rate and latency of accepted requests, beside a bare insert on the same PostgreSQL.

use std::time::Duration;

use hyper::StatusCode;

use crate::{
    environment::Environment,
    http_load::{self, PostRequests},
    process::ServiceProcess,
    report::{Report, Row, Target, quantile},
    scale::Scale,
};

/// Requests per second of the open loop.
const OPEN_LOOP_RATE: u32 = 200;
/// Upper bound on the requests of one closed loop, which ends by its duration.
const MAX_REQUESTS: usize = 100_000;
const YARDSTICK: &str = "bare axum and sqlx, one insert";

/// Figures of one server, one value for each repetition.
#[derive(Default)]
struct Figures {
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let deployment = environment.deployment("accepting", 1)?;
    // No worker runs, so GitHub's limits do not decide how much is accepted.
    deployment.queue_without_limits().await?;
    let mut api = deployment.start_api().await?;
    let requests = PostRequests::provision(&api.address().await?, &deployment.create_callers().await?);
    let _yardstick_database = environment.deployment("yardstick", 9)?;
    let url = environment.database_url("yardstick");
    let args = ["bench", "--yardstick", &url];
    let mut yardstick = ServiceProcess::start("yardstick", &args, &[], environment.dir())?;
    let yardstick_requests = PostRequests {
        address: yardstick.address().await?,
        path: "/",
        tokens: Vec::new(),
        prefer: None,
        expected_status: StatusCode::ACCEPTED,
    };
    let (mut figures, mut yardstick_figures) = (Figures::default(), Figures::default());
    for _ in 0..scale.repetitions {
        figures.measure_once(&requests, scale).await?;
        yardstick_figures.measure_once(&yardstick_requests, scale).await?;
    }
    api.stop().await?;
    yardstick.stop().await?;
    figures.report(&yardstick_figures, report);
    Ok(())
}

impl Figures {
    async fn measure_once(&mut self, requests: &PostRequests, scale: Scale) -> anyhow::Result<()> {
        let duration = Duration::from_secs(scale.seconds);
        // Warm-up: connections, caches and prepared statements.
        http_load::run_closed_loop(requests, duration, 500).await?;
        self.rate.push(http_load::run_closed_loop(requests, duration, MAX_REQUESTS).await?);
        let times = http_load::run_open_loop(requests, OPEN_LOOP_RATE, duration).await?;
        self.p50.push(quantile(&times, 0.5));
        self.p99.push(quantile(&times, 0.99));
        Ok(())
    }

    fn report(&self, yardstick: &Self, report: &mut Report) {
        let rate = Row::new(format!("accepted, {} connections", http_load::CONNECTIONS), "/s", &self.rate);
        report.push(rate.target(Target::AtLeast(1000.0)).yardstick(YARDSTICK, &yardstick.rate));
        let p50 = Row::new(format!("request to 202 at {OPEN_LOOP_RATE}/s, p50"), "ms", &self.p50);
        report.push(p50.yardstick(YARDSTICK, &yardstick.p50));
        let p99 = Row::new(format!("request to 202 at {OPEN_LOOP_RATE}/s, p99"), "ms", &self.p99);
        report.push(p99.target(Target::AtMost(25.0)).yardstick(YARDSTICK, &yardstick.p99));
    }
}
