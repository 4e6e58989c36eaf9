//! Every endpoint and status of the twin, checked against GitHub's published schemas.

use std::collections::BTreeSet;

use github_twin::{Conclusion, PersonalToken, RunnerChange, TwinConfig, WebhookConfig};
use serde_json::{Value, json};

mod accounts;
mod groups;

use super::{
    schema::Contract,
    support::{Github, Reply, read, wanted},
};

/// Personal token that manages the enterprise.
const PERSONAL: &str = "ghp_personal";

/// A client that checks every response of the twin.
struct Checked {
    github: Github,
    own: Contract,
    whole: Option<Contract>,
    seen: BTreeSet<(String, String, u16)>,
    /// Number of responses covered by the schemas in this repository.
    described: usize,
}

const ORG: &str = "/orgs/{org}/actions/runners";
const ENTERPRISE: &str = "/enterprises/{enterprise}/actions/runners";
const REPO: &str = "/repos/{owner}/{repo}/actions/runners";

impl Checked {
    async fn start() -> Self {
        // Nothing listens on that port: deliveries fail, as this test needs.
        let webhook = Some(WebhookConfig::new("http://127.0.0.1:9/hook", "s"));
        let github = Github::with(TwinConfig {
            webhook,
            enterprises: vec!["initech".to_owned()],
            personal_tokens: vec![PersonalToken::new(PERSONAL, "manage_runners:enterprise")],
            ..TwinConfig::default()
        })
        .await;
        Self { github, own: Contract::own(), whole: Contract::whole(), seen: BTreeSet::new(), described: 0 }
    }

    fn check(&mut self, template: &str, method: &str, reply: Reply) -> Value {
        let own = self.own.check(template, method, reply.status, &reply.body);
        self.described += usize::from(own.is_some());
        for contract in [Some(&self.own), self.whole.as_ref()].into_iter().flatten() {
            let faults = contract.check(template, method, reply.status, &reply.body).unwrap_or_default();
            assert!(faults.is_empty(), "{method} {template} {}: {faults:#?}", reply.status);
        }
        assert!(reply.header("x-github-request-id").is_some());
        // GitHub does not count requests with unknown credentials.
        let counted = reply.message() != "Bad credentials";
        assert_eq!(reply.header("x-ratelimit-remaining").is_some(), counted);
        self.seen.insert((template.to_owned(), method.to_owned(), reply.status));
        reply.body
    }

    /// Sends a call with the installation token and checks that the status is `want`.
    async fn call(&mut self, method: &str, template: &str, path: &str, body: Value, want: u16) -> Value {
        let reply = self.github.call(method, path, &body).await;
        assert_eq!(reply.status, want, "{method} {path}: {reply:?}");
        self.check(template, method, reply)
    }

    async fn get(&mut self, template: &str, path: &str, want: u16) -> Value {
        self.call("GET", template, path, Value::Null, want).await
    }

    async fn app(&mut self, method: &str, template: &str, path: &str, want: u16) -> Value {
        let reply = self.github.app(method, path, &Value::Null).await;
        assert_eq!(reply.status, want, "{method} {path}: {reply:?}");
        self.check(template, method, reply)
    }
}

async fn runners(c: &mut Checked, template: &str, at: &str) {
    let jit = (format!("{template}/generate-jitconfig"), format!("{at}/generate-jitconfig"));
    let made = c.call("POST", &jit.0, &jit.1, wanted("one"), 201).await;
    let id = made["runner"]["id"].as_u64().unwrap();
    c.call("POST", &jit.0, &jit.1, wanted("ONE"), 409).await;
    let mut other = wanted("two");
    other["runner_group_id"] = json!(77);
    c.call("POST", &jit.0, &jit.1, other, 404).await;
    c.call("POST", &jit.0, &jit.1, json!({"name": "two"}), 422).await;
    c.get(template, at, 200).await;
    for token in ["registration-token", "remove-token"] {
        c.call("POST", &format!("{template}/{token}"), &format!("{at}/{token}"), Value::Null, 201).await;
    }
    c.get(&format!("{template}/downloads"), &format!("{at}/downloads"), 200).await;
    c.get(&format!("{template}/deprecations/{{version}}"), &format!("{at}/deprecations/2.300.0"), 200).await;

    let (one, path) = (format!("{template}/{{runner_id}}"), format!("{at}/{id}"));
    c.get(&one, &path, 200).await;
    labels(c, &one, &path, at).await;
    c.github.twin.set_runner(id, RunnerChange::busy()).unwrap();
    let view = c.get(&one, &path, 200).await;
    assert_eq!((&view["os"], &view["busy"]), (&json!("linux"), &json!(true)));
    c.call("DELETE", &one, &path, Value::Null, 422).await;
    c.github.twin.set_runner(id, RunnerChange::online()).unwrap();
    c.call("DELETE", &one, &path, Value::Null, 204).await;
    c.call("DELETE", &one, &path, Value::Null, 404).await;
    c.get(&one, &path, 404).await;
}

async fn labels(c: &mut Checked, template: &str, path: &str, at: &str) {
    let (all, here) = (format!("{template}/labels"), format!("{path}/labels"));
    let gone = format!("{at}/999999/labels");
    c.get(&all, &here, 200).await;
    c.get(&all, &gone, 404).await;
    let names = |n: &[&str]| json!({"labels": n});
    let after = c.call("POST", &all, &here, names(&["blue", "GPU"]), 200).await;
    assert_eq!(after["total_count"], 4);
    c.call("POST", &all, &gone, names(&["blue"]), 404).await;
    c.call("POST", &all, &here, names(&[]), 422).await;
    c.call("PUT", &all, &here, names(&["red"]), 200).await;
    c.call("PUT", &all, &gone, names(&["red"]), 404).await;
    c.call("PUT", &all, &here, json!({"labels": 1}), 422).await;
    let single = format!("{all}/{{name}}");
    c.call("DELETE", &single, &format!("{here}/red"), Value::Null, 200).await;
    c.call("DELETE", &single, &format!("{here}/red"), Value::Null, 404).await;
    c.call("DELETE", &single, &format!("{here}/linux"), Value::Null, 422).await;
    let left = c.call("DELETE", &all, &here, Value::Null, 200).await;
    assert_eq!(left["total_count"], 2);
    c.call("DELETE", &all, &gone, Value::Null, 404).await;
}

async fn deliveries(c: &mut Checked) {
    c.github.twin.webhooks_sent().await;
    let (template, at) = ("/app/hook/deliveries", "/app/hook/deliveries");
    let list = c.app("GET", template, at, 200).await;
    c.app("GET", template, "/app/hook/deliveries?cursor=x", 400).await;
    c.app("GET", template, "/app/hook/deliveries?status=odd", 422).await;
    let id = list[0]["id"].as_u64().unwrap();
    let one = format!("{template}/{{delivery_id}}");
    c.app("GET", &one, &format!("{at}/{id}"), 200).await;
    c.app("GET", &one, &format!("{at}/x"), 400).await;
    let attempts = format!("{one}/attempts");
    c.app("POST", &attempts, &format!("{at}/{id}/attempts"), 202).await;
    c.app("POST", &attempts, &format!("{at}/x/attempts"), 400).await;
}

async fn workflow(c: &mut Checked) {
    let control = c.github.twin.control();
    let job = control.queue_job("acme/web", &["gpu"]).unwrap();
    let id = c.github.runner("worker").await;
    control.set_runner(id, RunnerChange::online()).unwrap();
    let at = "/repos/acme/web/actions";
    let template = "/repos/{owner}/{repo}/actions";
    let (one, path) = (format!("{template}/jobs/{{job_id}}"), format!("{at}/jobs/{}", job.id));
    c.get(&one, &path, 200).await;
    control.start_job(job.id, id).unwrap();
    c.get(&one, &path, 200).await;
    control.complete_job(job.id, Conclusion::Success).unwrap();
    c.get(&one, &path, 200).await;
    let (runs, here) = (format!("{template}/runs"), format!("{at}/runs"));
    c.get(&runs, &here, 200).await;
    let (run, here) = (format!("{runs}/{{run_id}}"), format!("{here}/{}", job.run_id));
    c.get(&run, &here, 200).await;
    c.get(&format!("{run}/jobs"), &format!("{here}/jobs"), 200).await;
    for word in ["cancel", "force-cancel"] {
        let job = control.queue_job("acme/web", &[]).unwrap();
        let template = format!("{template}/runs/{{run_id}}/{word}");
        let path = format!("{at}/runs/{}/{word}", job.run_id);
        c.call("POST", &template, &path, Value::Null, 202).await;
        c.call("POST", &template, &path, Value::Null, 409).await;
    }
}

async fn meta(c: &mut Checked) {
    c.get("/rate_limit", "/rate_limit", 200).await;
    let first = c.github.get("/rate_limit").await;
    let tag = first.header("etag").unwrap().to_owned();
    let again = c.github.request("GET", "/rate_limit").bearer_auth(&c.github.token);
    let again = read(again.header("if-none-match", tag)).await.unwrap();
    assert_eq!(again.status, 304);
    c.check("/rate_limit", "GET", again);
    let newer = c.github.request("GET", "/rate_limit").bearer_auth(&c.github.token);
    let newer = read(newer.header("x-github-api-version", "2026-03-10")).await.unwrap();
    assert!(newer.body.get("rate").is_none());
    c.get("/meta", "/meta", 200).await;
    c.get("/versions", "/versions", 200).await;
}

#[tokio::test]
async fn every_endpoint_answers_as_github_describes() {
    let mut c = Checked::start().await;
    runners(&mut c, ORG, "/orgs/acme/actions/runners").await;
    runners(&mut c, REPO, "/repos/acme/web/actions/runners").await;
    let installation = std::mem::replace(&mut c.github.token, PERSONAL.to_owned());
    runners(&mut c, ENTERPRISE, "/enterprises/initech/actions/runners").await;
    groups::enterprise(&mut c).await;
    c.github.token = installation;
    groups::organization(&mut c).await;
    workflow(&mut c).await;
    deliveries(&mut c).await;
    meta(&mut c).await;
    accounts::accounts(&mut c).await;
    accounts::own_token(&mut c).await;
    accounts::app(&mut c).await;
    // Statuses that the twin never returns.
    let never = |t: &str, m: &str, s: u16| {
        matches!(
            (t, m, s),
            // Possible only with limits off; see the tests of limits.
            ("/rate_limit" | "/versions", _, 404)
                | (
                    "/app/hook/deliveries/{delivery_id}" | "/app/hook/deliveries/{delivery_id}/attempts",
                    _,
                    422
                )
                | ("/repos/{owner}/{repo}/installation", _, 301)
                | ("/meta", _, 304)
        )
    };
    let missing: Vec<_> = c
        .own
        .all()
        .into_iter()
        .filter(|(t, m, s)| !c.seen.contains(&(t.clone(), m.clone(), *s)) && !never(t, m, *s))
        .collect();
    assert!(c.described >= 150, "{} answers were checked", c.described);
    assert!(missing.is_empty(), "not asked: {missing:#?}");
}
