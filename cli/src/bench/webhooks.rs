//! Rate and latency of accepted webhooks: signed, checked, and on disk before the answer.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use http_body_util::Full;
use hyper::{
    Request, StatusCode,
    body::Bytes,
    header::{CONTENT_TYPE, HOST},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Scale,
    load::{self, Requests},
    report::{Report, Row, Target, quantile},
    world::World,
};

/// Secret that the benchmark's GitHub signs with.
pub(super) const SECRET: &str = "a secret for the benchmark";
/// Deliveries a second of the open loop, and the least that should be taken.
const PACE: u32 = 2000;
/// Most deliveries of one closed loop.
const MOST: usize = 100_000;
/// Different bodies, used in turn.
const BODIES: usize = 60;
/// Steps of the workflow job: with them a body has about 13 KB.
const STEPS: usize = 30;
const SAMPLE: &str = include_str!("../../../tests/data/webhooks/workflow_job.completed.json");

/// Deliveries of workflow jobs, a third each queued, in progress and completed.
#[derive(Clone)]
struct Deliveries {
    address: String,
    bodies: Arc<[(Bytes, String)]>,
}

pub(super) async fn measure(world: &World, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let site = world.site("webhooks", 7)?;
    let mut api = site.api().await?;
    let bodies = (0..BODIES).map(body).collect::<anyhow::Result<_>>()?;
    let deliveries = Deliveries { address: api.address().await?, bodies };
    let time = Duration::from_secs(scale.seconds);
    let (mut rate, mut p50, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.repetitions {
        load::closed_loop(&deliveries, time, 2000).await?;
        rate.push(load::closed_loop(&deliveries, time, MOST).await?);
        let times = load::open_loop(&deliveries, PACE, time).await?;
        p50.push(quantile(&times, 0.5));
        p99.push(quantile(&times, 0.99));
    }
    api.stop().await?;
    let rate = Row::new(format!("webhooks taken, {} connections", load::CONNECTIONS), "/s", &rate);
    report.push(rate.target(Target::AtLeast(f64::from(PACE))));
    report.push(Row::new(format!("webhook to 202 at {PACE}/s, p50"), "ms", &p50));
    let p99 = Row::new(format!("webhook to 202 at {PACE}/s, p99"), "ms", &p99);
    report.push(p99.target(Target::AtMost(20.0)));
    Ok(())
}

/// A body and its signature.
fn body(nth: usize) -> anyhow::Result<(Bytes, String)> {
    let mut body: Value = serde_json::from_str(SAMPLE)?;
    let job = body.get_mut("workflow_job").context("the sample is no workflow job")?;
    job["id"] = json!(1_000_000 + nth);
    job["runner_id"] = json!(1 + nth);
    job["runner_name"] = json!(format!("bench-{nth}"));
    let step = job["steps"][0].clone();
    job["steps"] = json!(vec![step; STEPS]);
    body["action"] = json!(["queued", "in_progress", "completed"][nth % 3]);
    let text = body.to_string();
    let signature = github_twin::signature(SECRET, text.as_bytes());
    Ok((text.into(), signature))
}

impl Requests for Deliveries {
    fn address(&self) -> &str {
        &self.address
    }

    fn expects(&self) -> StatusCode {
        StatusCode::ACCEPTED
    }

    fn request(&self, nth: usize) -> anyhow::Result<Request<Full<Bytes>>> {
        let (body, signature) = &self.bodies[nth % BODIES];
        Ok(Request::post("/api/v1/webhooks/github")
            .header(HOST, &self.address)
            .header(CONTENT_TYPE, "application/json")
            .header("x-github-event", "workflow_job")
            .header("x-github-delivery", Uuid::new_v4().to_string())
            .header("x-hub-signature-256", signature)
            .body(Full::new(body.clone()))?)
    }
}
