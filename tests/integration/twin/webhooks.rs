//! Signed webhooks with the shape of real ones, recorded and redelivered.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use github_twin::{Conclusion, RunnerChange, TwinConfig, WebhookConfig, signature};
use serde_json::{Value, json};

use super::{
    schema::{real_payloads, same_shape},
    support::Github,
};
use crate::client::serve;

const SECRET: &str = "hook-secret";

/// Received deliveries, and the status to respond with.
#[derive(Clone)]
pub(super) struct Inbox(Arc<Mutex<Received>>);

type Received = (Vec<(HeaderMap, Bytes)>, u16);

impl Inbox {
    pub(super) async fn open() -> (Self, String) {
        let inbox = Self(Arc::new(Mutex::new((Vec::new(), 202))));
        let receive = async |State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes| {
            let mut inner = inbox.0.lock().unwrap();
            inner.0.push((headers, body));
            StatusCode::from_u16(inner.1).unwrap()
        };
        let router = Router::new().route("/hook", post(receive)).with_state(inbox.clone());
        (inbox, serve(router).await + "/hook")
    }

    fn answer(&self, status: u16) {
        self.0.lock().unwrap().1 = status;
    }

    /// Returns headers and bodies as received.
    pub(super) fn raw(&self) -> Vec<(HeaderMap, Bytes)> {
        self.0.lock().unwrap().0.clone()
    }

    fn all(&self) -> Vec<(HeaderMap, Value)> {
        let parse = |(h, b): &(HeaderMap, Bytes)| (h.clone(), serde_json::from_slice(b).unwrap());
        self.0.lock().unwrap().0.iter().map(parse).collect()
    }
}

async fn start() -> (Github, Inbox) {
    let (inbox, url) = Inbox::open().await;
    let webhook = Some(WebhookConfig::new(url, SECRET));
    (Github::with(TwinConfig { webhook, ..TwinConfig::default() }).await, inbox)
}

async fn one_job(github: &Github) {
    let control = github.twin.control();
    let job = control.queue_job("acme/web", &["gpu"]).unwrap();
    let runner = github.runner("box").await;
    control.set_runner(runner, RunnerChange::online()).unwrap();
    control.start_job(job.id, runner).unwrap();
    control.complete_job(job.id, Conclusion::Success).unwrap();
    github.twin.webhooks_sent().await;
}

#[tokio::test]
async fn job_sends_a_webhook_for_every_step() {
    let (github, inbox) = start().await;
    one_job(&github).await;
    let got = inbox.all();
    let actions: Vec<_> = got.iter().map(|(_, b)| b["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["queued", "in_progress", "completed"]);
    assert_eq!(got[0].1["workflow_job"]["runner_id"], Value::Null);
    assert_eq!(got[1].1["workflow_job"]["runner_name"], "box");
    assert_eq!(got[2].1["workflow_job"]["conclusion"], "success");
    assert_eq!(got[2].1["installation"]["id"], 5_151_515);
    for (headers, body) in inbox.raw() {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-hub-signature-256"), signature(SECRET, &body));
        assert_eq!(header("x-github-event"), "workflow_job");
        assert!(header("user-agent").starts_with("GitHub-Hookshot/"));
        assert_eq!(header("x-github-hook-installation-target-type"), "integration");
        assert!(header("x-github-delivery").parse::<uuid::Uuid>().is_ok());
    }
}

#[tokio::test]
async fn payloads_have_the_shape_of_real_ones() {
    let (github, inbox) = start().await;
    one_job(&github).await;
    github.twin.control().suspend(5_151_515, true).unwrap();
    github.twin.webhooks_sent().await;
    let jobs = [
        "queued.1",
        "queued.2",
        "in_progress.1",
        "in_progress.2",
        "in_progress.3",
        "completed.1",
        "completed.2",
    ];
    let jobs: Vec<String> = jobs.iter().map(|n| format!("workflow_job.{n}.json")).collect();
    let suspended = vec!["installation.suspend.1.json".to_owned()];
    let got = inbox.all();
    assert_eq!(got.len(), 4);
    for (_, ours) in got {
        // The examples come from several years and accounts: a key is real if any example of the event has it.
        let files = if ours.get("workflow_job").is_some() { &jobs } else { &suspended };
        let real = files.iter().flat_map(|f| real_payloads(f)).reduce(|all, one| merge(all, &one)).unwrap();
        let mut found = Vec::new();
        same_shape(&ours, &real, "", &mut found);
        // Introduced by GitHub after the example was recorded.
        found.retain(|f| f != "/installation/client_id");
        assert!(found.is_empty(), "{}: {found:#?}", ours["action"]);
    }
}

fn merge(mut all: Value, one: &Value) -> Value {
    if let (Some(a), Some(b)) = (all.as_object_mut(), one.as_object()) {
        for (name, value) in b {
            let merged = match a.remove(name) {
                Some(old) if !old.is_null() => merge(old, value),
                _ => value.clone(),
            };
            a.insert(name.clone(), merged);
        }
    }
    all
}

#[tokio::test]
async fn failed_delivery_can_be_found_and_sent_again() {
    let (github, inbox) = start().await;
    inbox.answer(500);
    github.twin.control().queue_job("acme/web", &["gpu"]).unwrap();
    github.twin.webhooks_sent().await;
    let failed = github.app("GET", "/app/hook/deliveries?status=failure", &Value::Null).await;
    let (id, guid) = (failed.body[0]["id"].clone(), failed.body[0]["guid"].clone());
    assert_eq!(failed.body[0]["status_code"], 500);
    inbox.answer(200);
    let again = github.app("POST", &format!("/app/hook/deliveries/{id}/attempts"), &Value::Null).await;
    assert_eq!(again.status, 202);
    github.twin.webhooks_sent().await;
    let worked = github.app("GET", "/app/hook/deliveries?status=success", &Value::Null).await;
    assert_eq!((&worked.body[0]["guid"], &worked.body[0]["redelivery"]), (&guid, &json!(true)));
    let got = inbox.all();
    assert_eq!(
        got[0].0["x-github-delivery"], got[1].0["x-github-delivery"],
        "the id that identifies a repeated delivery"
    );
    assert_eq!(got[0].1, got[1].1);
}

#[tokio::test]
async fn deliveries_are_listed_in_pages() {
    let (github, _inbox) = start().await;
    for _ in 0..5 {
        github.twin.control().queue_job("acme/web", &[]).unwrap();
    }
    github.twin.webhooks_sent().await;
    let (mut path, mut ids) = (Some("/app/hook/deliveries?per_page=2".to_owned()), Vec::new());
    while let Some(here) = path {
        let reply = github.app("GET", &here, &Value::Null).await;
        ids.extend(reply.body.as_array().unwrap().iter().map(|d| d["id"].as_u64().unwrap()));
        let next = reply.header("link").map(|l| l[1..l.find('>').unwrap()].to_owned());
        path = next.map(|url| url.trim_start_matches(github.twin.url()).to_owned());
    }
    assert_eq!(ids.len(), 5);
    assert!(ids.is_sorted_by(|a, b| a > b), "newest first");
}
