//! Gauges of the queue, GitHub's limits and the fleet, as a scheduler sets them.

use std::time::Duration;

use domain::InstallationId;
use harness::{World, provision_body};
use queue::Observation;
use scheduler::gauges::ShownGauges;
use serde_json::json;

use super::Scene;

/// Gauges of one scheduler.
#[derive(Default)]
struct Shown {
    verdict: ShownGauges,
    budget: ShownGauges,
    fleet: ShownGauges,
}

impl Shown {
    /// Runs the steps that set gauges and returns the metrics.
    async fn metrics(&self, world: &World) -> String {
        // Once the API responds, the metrics have been collected.
        world.request("GET", "/metrics").send().await.assert_status(200);
        let parts = || world.scheduler_parts();
        scheduler::verdict_metrics::run(parts(), self.verdict.clone()).await.unwrap();
        scheduler::budget_metrics::run(parts(), self.budget.clone()).await.unwrap();
        scheduler::fleet_metrics::run(parts(), self.fleet.clone()).await.unwrap();
        world.request("GET", "/metrics").send().await.assert_status(200).text
    }
}

/// Returns the value of one series.
fn value(text: &str, series: &str) -> String {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    lines.next().unwrap_or_else(|| panic!("no {series} in {text}")).to_owned()
}

#[tokio::test]
async fn waiting_jobs_are_shown_by_what_they_wait_for() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let (world, shown) = (&scene.world, Shown::default());
    for _ in 0..3 {
        world.provision(&scene.ada, provision_body("ci")).await;
    }
    let waits = |text: &str, reason: &str| {
        let labels = format!(r#"{{installation="default",lane="provision",reason="{reason}"}}"#);
        value(text, &format!("rts_queue_waiting_for{labels}"))
    };
    let text = shown.metrics(world).await;
    assert_eq!((waits(&text, "worker"), waits(&text, "paused")), ("3".to_owned(), "0".to_owned()));
    assert_eq!(value(&text, "rts_workers_wanted"), "1");
    assert_eq!(value(&text, r#"rts_worker_slots{state="busy"}"#), "0");
    assert_eq!(value(&text, r#"rts_runners{installation="default",status="requested"}"#), "3");
    assert_eq!(value(&text, "rts_configs_sealed"), "0");
    assert_eq!(value(&text, "rts_webhook_lag_seconds"), "0");
    let version = format!(r#"rts_workers{{version="{}"}}"#, env!("CARGO_PKG_VERSION"));
    assert_eq!(value(&text, &version), "0");

    let reason = "words-of-an-admin";
    let pause = json!({ "seconds": 600, "reason": reason });
    world.post("/admin/queues/provision/pause", &scene.root, &pause).await.assert_status(200);
    let text = shown.metrics(world).await;
    assert_eq!((waits(&text, "worker"), waits(&text, "paused")), ("0".to_owned(), "3".to_owned()));
    let paused = r#"rts_queue_paused{installation="*",lane="provision",reason="admin"}"#;
    assert_eq!(value(&text, paused), "1");
    for free in [reason, "root@example.com", "ada@example.com", "ci-"] {
        assert!(!text.contains(free), "{free} is in the metrics");
    }
    world.post("/admin/queues/provision/resume", &scene.root, &json!({})).await;
    assert_eq!(value(&shown.metrics(world).await, paused), "0", "the pause is over");
}

#[tokio::test]
async fn limits_of_github_are_shown_until_they_are_unknown() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let (world, shown) = (&scene.world, Shown::default());
    let home = InstallationId::default();
    let window = Observation {
        endpoint: Some("runner"),
        resource: "core".to_owned(),
        limit: 5000,
        remaining: 1234,
        reset_in: Duration::from_mins(30),
        reset: 0,
    };
    world.queue().observe(&home, &window).await.unwrap();
    world.queue().slow_down(&home, Duration::from_mins(10)).await.unwrap();
    let text = shown.metrics(world).await;
    let core = r#"{installation="default",resource="core"}"#;
    assert_eq!(value(&text, &format!("rts_github_window_remaining{core}")), "1234");
    assert_eq!(value(&text, &format!("rts_github_window_limit{core}")), "5000");
    let reset: f64 =
        value(&text, &format!("rts_github_window_reset_timestamp_seconds{core}")).parse().unwrap();
    assert!(reset > 1_700_000_000.0, "a time in seconds since 1970: {reset}");
    assert_eq!(value(&text, r#"rts_github_writes_per_minute{installation="default"}"#), "90");
    assert_eq!(value(&text, r#"rts_github_breaker{installation="default"}"#), "0");
    let paused = r#"rts_queue_paused{installation="default",lane="*",reason="secondary_limit"}"#;
    assert_eq!(value(&text, paused), "1");
    world.redis().flush().await;
    let text = shown.metrics(world).await;
    assert_eq!(
        value(&text, &format!("rts_github_window_remaining{core}")),
        "NaN",
        "an unknown window is not empty"
    );
    assert_eq!(value(&text, paused), "0");
}

#[tokio::test]
async fn refusals_and_security_events_are_counted_by_code_and_type() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let world = &scene.world;
    world.request("GET", "/metrics").send().await.assert_status(200);
    world.get("/admin/verdict", &scene.ada).await.refused(403, "admin_required");
    let text = world.request("GET", "/metrics").send().await.assert_status(200).text;
    let code = r#"rts_refusals_total{code="admin_required"}"#;
    assert_ne!(value(&text, code), "0");
    let body = json!({ "runner_name_prefix": "ci", "labels": ["someone-elses"] });
    world.jit(&scene.ada, &body).await.refused(403, "label_policy_violation");
    let text = world.request("GET", "/metrics").send().await.assert_status(200).text;
    let event = r#"rts_security_events_total{type="label_policy_violation",severity="#;
    assert!(text.lines().any(|line| line.starts_with(event)), "{text}");
}
