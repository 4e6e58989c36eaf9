//! Rate and latency of accepted webhooks: signature verified and row written before the response.

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

use crate::{
    environment::Environment,
    http_load::{self, RequestSource},
    report::{Report, Row, Target, quantile},
    scale::Scale,
};

/// Secret that signs the benchmark's webhooks.
pub(crate) const SECRET: &str = "a secret for the benchmark";
/// Deliveries per second of the open loop, and the target of the closed loop.
const OPEN_LOOP_RATE: u32 = 2000;
/// Upper bound on the deliveries of one closed loop, which ends by its duration.
const MAX_REQUESTS: usize = 100_000;
/// Number of different bodies, which are sent in turn.
const BODIES: usize = 60;
/// Steps of each workflow job; a body has about 13 KB with them.
const STEPS: usize = 30;
const SAMPLE: &str = include_str!("../../tests/data/webhooks/workflow_job.completed.json");

/// Webhooks of workflow jobs: a third each queued, in progress and completed.
#[derive(Clone)]
struct Deliveries {
    address: String,
    bodies: Arc<[(Bytes, String)]>,
}

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let deployment = environment.deployment("webhooks", 7)?;
    let mut api = deployment.start_api().await?;
    let bodies = (0..BODIES).map(signed_body).collect::<anyhow::Result<_>>()?;
    let deliveries = Deliveries { address: api.address().await?, bodies };
    let duration = Duration::from_secs(scale.seconds);
    let (mut rate, mut p50, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.repetitions {
        http_load::run_closed_loop(&deliveries, duration, 2000).await?;
        rate.push(http_load::run_closed_loop(&deliveries, duration, MAX_REQUESTS).await?);
        let times = http_load::run_open_loop(&deliveries, OPEN_LOOP_RATE, duration).await?;
        p50.push(quantile(&times, 0.5));
        p99.push(quantile(&times, 0.99));
    }
    api.stop().await?;
    let rate = Row::new(format!("webhooks accepted, {} connections", http_load::CONNECTIONS), "/s", &rate);
    report.push(rate.target(Target::AtLeast(f64::from(OPEN_LOOP_RATE))));
    report.push(Row::new(format!("webhook to 202 at {OPEN_LOOP_RATE}/s, p50"), "ms", &p50));
    let p99 = Row::new(format!("webhook to 202 at {OPEN_LOOP_RATE}/s, p99"), "ms", &p99);
    report.push(p99.target(Target::AtMost(20.0)));
    Ok(())
}

/// Returns the nth body and its signature.
fn signed_body(nth: usize) -> anyhow::Result<(Bytes, String)> {
    let mut body: Value = serde_json::from_str(SAMPLE)?;
    let job = body.get_mut("workflow_job").context("the sample has no workflow job")?;
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

impl RequestSource for Deliveries {
    fn address(&self) -> &str {
        &self.address
    }

    fn expected_status(&self) -> StatusCode {
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
