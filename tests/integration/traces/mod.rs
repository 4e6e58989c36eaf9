//! Exported traces: one story from the request to GitHub, without secrets, and without cost while no collector answers.
#![cfg(test)]

mod collector;

use std::{collections::BTreeSet, time::Duration};

use collector::Collector;
use github_twin::{Fault, FaultKind, needles};
use harness::{Accepted, Person, Program, World, eventually, provision_body, team_draft};
use serde_json::Value;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A world whose API and worker are processes that export to a collector.
struct Scene {
    world: World,
    ada: Person,
    api: Program,
    worker: Program,
}

impl Scene {
    async fn start(endpoint: &str, changes: &[(&str, &str)]) -> Self {
        let world = World::builder().workers(0).start().await;
        let red = world.team(team_draft("secret-team")).await;
        let ada = world.user("ada", &[&red]).await;
        let mut env = settings(endpoint);
        env.extend(changes);
        let (api, worker) = (world.program("api", &env), world.program("worker", &env));
        Self { world, ada, api, worker }
    }

    /// Starts a scheduler that exports every trace.
    fn start_scheduler(&self, endpoint: &str) -> Program {
        let mut env = settings(endpoint);
        env.push(("OTEL_TRACES_SAMPLER", "always_on"));
        self.world.program("scheduler", &env)
    }

    /// Asks for a runner with this `traceparent`, waits for its job and fetches its config.
    async fn provision(&self, traceparent: &str) -> (Accepted, Value) {
        let address = self.api.address().await;
        let ask = self.world.ask_at(address, "POST", "/runners/jit", &self.ada);
        let answer =
            ask.header("traceparent", traceparent).json(&provision_body("secret-runner")).send().await;
        let body = answer.assert_status(202).body;
        let id = |member: &str| body[member].as_str().unwrap().parse().unwrap();
        let name = body["runner_name"].as_str().unwrap().to_owned();
        let asked = Accepted { job: id("job_id"), runner: id("runner_id"), name };
        let job = self.world.until_final(&self.ada, asked.job).await;
        let fetch = format!("/jobs/{}/credential", asked.job);
        self.world.ask_at(address, "POST", &fetch, &self.ada).send().await;
        (asked, job)
    }

    /// Ends both processes, which export what is left.
    async fn stop(self) -> World {
        self.api.stop().await;
        self.worker.stop().await;
        self.world
    }
}

/// Returns the settings of a process that exports to this collector.
fn settings(endpoint: &str) -> Vec<(&'static str, &str)> {
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20of-the-collector"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=a%20test"),
    ]
}

#[tokio::test]
async fn request_job_and_github_calls_are_one_linked_story() {
    let collector = Collector::start().await;
    let scene = Scene::start(&collector.url, &[]).await;
    let (asked, job) = scene.provision(&format!("00-{TRACE}-{CALLER}-01")).await;
    assert_eq!(job["state"], "succeeded");
    scene.stop().await;

    let [request] = &collector.named(TRACE, "POST /api/v1/runners/jit")[..] else {
        panic!("{:?}", collector.spans())
    };
    assert_eq!((request.part.as_str(), request.parent.as_str(), request.kind), ("api", CALLER, 2));
    assert_eq!(request.attributes["http.response.status_code"], "202");
    assert_eq!(request.attributes["http.route"], "/api/v1/runners/jit");
    let [job] = &collector.named(TRACE, "process provision")[..] else { panic!("{:?}", collector.spans()) };
    assert_eq!((job.part.as_str(), job.parent.as_str(), job.kind), ("worker", request.id.as_str(), 5));
    assert_eq!(job.links, [request.id.as_str()], "the job links to its request");
    assert_eq!(job.attributes["messaging.message.id"], asked.job.to_string());
    assert_eq!((job.attributes["rts.job.state"].as_str(), job.failed), ("succeeded", false));
    let calls: Vec<_> =
        collector.spans().into_iter().filter(|span| span.kind == 3 && span.trace == TRACE).collect();
    let config = calls.iter().find(|call| call.attributes["rts.github.operation"].contains("jit"));
    let config = config.unwrap_or_else(|| panic!("{calls:?}"));
    assert_eq!(
        (config.parent.as_str(), config.attributes["http.response.status_code"].as_str()),
        (job.id.as_str(), "201")
    );
    assert!(collector.tokens().iter().all(|token| token == "Bearer of-the-collector"));
}

#[tokio::test]
async fn traces_without_a_sample_show_only_failures() {
    let collector = Collector::start().await;
    let scene = Scene::start(&collector.url, &[]).await;
    scene.world.twin.fault(Fault::once(
        "POST",
        "generate-jitconfig",
        FaultKind::EffectThenStatus { status: 502 },
    ));
    let (_, job) = scene.provision(&format!("00-{TRACE}-{CALLER}-00")).await;
    assert_eq!(job["state"], "succeeded");
    scene.stop().await;
    let spans: Vec<_> = collector.spans().into_iter().filter(|span| span.trace == TRACE).collect();
    let [call] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((call.kind, call.failed), (3, true));
    assert_eq!(call.attributes["error.type"], "502");
}

#[tokio::test]
async fn exported_spans_hold_no_secret_and_no_name() {
    let collector = Collector::start().await;
    let scene = Scene::start(&collector.url, &[("OTEL_TRACES_SAMPLER", "always_on")]).await;
    let (asked, _) = scene.provision("none").await;
    let scheduler = scene.start_scheduler(&collector.url);
    eventually("the scheduler exports its calls", || async {
        collector.spans().iter().any(|span| span.part == "scheduler").then_some(())
    })
    .await;
    scheduler.stop().await;
    let (address, broken) = (scene.api.address().await, format!("{}x", scene.ada.token));
    let refused = scene.world.ask_at(address, "GET", "/runners?labels=secret-label", &broken).send().await;
    refused.refused(401, "invalid_token");
    let (canary, token) = (needles(scene.world.canary()), scene.ada.token.clone());
    scene.stop().await;

    let text = collector.everything();
    let words = [
        "ada@",
        "secret-team",
        "secret-runner",
        "secret-label",
        "gpu",
        "ghs_",
        "Bearer",
        "eyJ",
        "of-the-collector",
    ];
    let signature = token.rsplit('.').next().unwrap();
    let secrets = canary.iter().map(String::as_str).chain(words).chain([signature, asked.name.as_str()]);
    for secret in secrets {
        assert!(!text.contains(secret), "the export holds {secret}");
    }
    let known: BTreeSet<&str> = [
        "error.type",
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "messaging.destination.name",
        "messaging.message.id",
        "messaging.operation.type",
        "messaging.system",
        "rts.github.operation",
        "rts.github.request_id",
        "rts.job.kind",
        "rts.job.start",
        "rts.job.state",
        "rts.request_id",
    ]
    .into();
    let spans = collector.spans();
    assert!(spans.len() >= 5, "{spans:?}");
    for span in spans {
        let strange: Vec<_> = span.attributes.keys().filter(|name| !known.contains(name.as_str())).collect();
        assert!(strange.is_empty(), "{strange:?}");
    }
}

#[tokio::test]
async fn collector_that_is_away_costs_only_counted_spans() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let scene = Scene::start(&nowhere, &[("OTEL_TRACES_SAMPLER", "always_on")]).await;
    let (_, job) = scene.provision("none").await;
    assert_eq!(job["state"], "succeeded");
    let metrics = format!("http://{}/metrics", scene.worker.address().await);
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
    eventually("the worker counts the spans it could not export", || async {
        let text = client.get(&metrics).send().await.unwrap().text().await.unwrap();
        let dropped = r#"rts_trace_spans_dropped_total{reason="export"}"#;
        text.lines()
            .find_map(|line| line.strip_prefix(dropped)?.trim().parse::<u64>().ok())
            .filter(|n| *n > 0)
    })
    .await;
    assert_eq!(scene.worker.output().matches("the collector does not take traces").count(), 1, "logged once");
    scene.stop().await;
}
