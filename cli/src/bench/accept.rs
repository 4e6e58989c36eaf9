//! Rate and latency of accepted requests, beside a bare insert on the same PostgreSQL.

use std::time::Duration;

use hyper::StatusCode;

use super::{
    Scale, load,
    load::Ask,
    part::Part,
    report::{Report, Row, Target, quantile},
    world::World,
};

/// Requests a second of the open loop.
const PACE: u32 = 200;
/// Most requests of one closed loop.
const MOST: usize = 100_000;
const BARE: &str = "bare axum and sqlx, one insert";

/// What one subject did, one value for each repetition.
#[derive(Default)]
struct Figures {
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

pub(super) async fn measure(world: &World, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let site = world.site("accepting", 1)?;
    // No worker runs here: GitHub's limits must not decide how much is accepted.
    site.queue().await?;
    let mut api = site.api().await?;
    let ours = Ask::provision(&api.address().await?, &site.callers().await?);
    let _bare_site = world.site("yardstick", 9)?;
    let url = world.database_url("yardstick");
    let mut bare = Part::start("yardstick", &["bench", "--yardstick", &url], &[], world.dir())?;
    let address = bare.address().await?;
    let theirs = Ask { address, path: "/", tokens: Vec::new(), prefer: None, expects: StatusCode::ACCEPTED };
    let (mut us, mut them) = (Figures::default(), Figures::default());
    for _ in 0..scale.repetitions {
        us.take(&ours, scale).await?;
        them.take(&theirs, scale).await?;
    }
    api.stop().await?;
    bare.stop().await?;
    us.report(&them, report);
    Ok(())
}

impl Figures {
    async fn take(&mut self, ask: &Ask, scale: Scale) -> anyhow::Result<()> {
        let time = Duration::from_secs(scale.seconds);
        // Connections, caches and prepared statements first.
        load::closed_loop(ask, time, 500).await?;
        self.rate.push(load::closed_loop(ask, time, MOST).await?);
        let times = load::open_loop(ask, PACE, time).await?;
        self.p50.push(quantile(&times, 0.5));
        self.p99.push(quantile(&times, 0.99));
        Ok(())
    }

    fn report(&self, bare: &Self, report: &mut Report) {
        let rate = Row::new(format!("accepted, {} connections", load::CONNECTIONS), "/s", &self.rate);
        report.push(rate.target(Target::AtLeast(1000.0)).yardstick(BARE, &bare.rate));
        let p50 = Row::new(format!("request to 202 at {PACE}/s, p50"), "ms", &self.p50);
        report.push(p50.yardstick(BARE, &bare.p50));
        let p99 = Row::new(format!("request to 202 at {PACE}/s, p99"), "ms", &self.p99);
        report.push(p99.target(Target::AtMost(25.0)).yardstick(BARE, &bare.p99));
    }
}
