//! The action for GitHub Actions, run by Node.js as GitHub's runner runs it.

use std::{collections::HashMap, fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Stdio};

use tokio::process::Command;

use crate::examples::Scene;

const ACTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../actions/runner");

/// A workflow job that uses the action.
struct Job {
    scene: Scene,
    node: PathBuf,
}

/// Result of one step.
struct Step {
    succeeded: bool,
    /// What the step wrote into the log.
    log: String,
    outputs: HashMap<String, String>,
}

impl Job {
    async fn start(node: PathBuf) -> Self {
        Self { scene: Scene::new().await, node }
    }

    /// Runs a step of the action with these inputs, and this environment in place of the usual one.
    async fn run(&self, step: &str, inputs: &[(&str, &str)], changes: &[(&str, &str)]) -> Step {
        let [output, state] = ["output", "state"].map(|name| self.scene.path(name));
        fs::write(&output, "").unwrap();
        let mut node = Command::new(&self.node);
        node.arg(format!("{ACTION}/{step}")).env_clear().stdin(Stdio::null());
        node.env("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/actions?x=1", self.scene.outside));
        node.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-secret").env("RUNNER_TEMP", self.scene.path(""));
        node.env("GITHUB_OUTPUT", &output).env("GITHUB_STATE", &state).env("GITHUB_RUN_ID", "7");
        node.env("INPUT_URL", self.scene.world.url()).env("INPUT_LABELS", "gpu-1");
        node.envs(inputs.iter().map(|(name, value)| (format!("INPUT_{}", name.to_uppercase()), value)));
        if let Some(runners) = values(&fs::read_to_string(&state).unwrap_or_default()).get("runners") {
            node.env("STATE_runners", runners);
        }
        let done = node.envs(changes.iter().copied()).kill_on_drop(true).output().await.unwrap();
        assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
        Step {
            succeeded: done.status.success(),
            log: String::from_utf8(done.stdout).unwrap(),
            outputs: values(&fs::read_to_string(&output).unwrap()),
        }
    }

    async fn removals(&self) -> i64 {
        self.scene.world.count("SELECT count(*) FROM jobs WHERE kind = 'deprovision'").await
    }
}

/// Returns the values of one of the runner's command files.
fn values(text: &str) -> HashMap<String, String> {
    let mut values = HashMap::new();
    let mut lines = text.lines();
    while let Some((name, end)) = lines.next().and_then(|line| line.split_once("<<")) {
        let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
        values.insert(name.to_owned(), value.join("\n"));
    }
    values
}

#[tokio::test]
async fn config_is_in_a_private_file_and_never_an_output() {
    if let Some(node) = harness::tool("TEST_NODE") {
        hand_out_two_configs(&Job::start(node).await).await;
    }
}

async fn hand_out_two_configs(job: &Job) {
    let step = job.run("main.js", &[("team", "red"), ("count", "2")], &[]).await;
    assert!(step.succeeded, "{}", step.log);
    let files: Vec<&str> = step.outputs["config-file"].lines().collect();
    assert_eq!((files.len(), step.outputs["runner-name"].lines().count()), (2, 2));
    for file in files {
        let config = fs::read_to_string(file).unwrap();
        assert!(config.trim().len() > 100);
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!step.outputs.values().any(|value| value.contains(config.trim())));
        let shown = step.log.lines().filter(|line| line.contains(config.trim()));
        assert!(shown.clone().all(|line| line.starts_with("::add-mask::")) && shown.count() == 1);
    }
    let again = job.run("main.js", &[("team", "red"), ("count", "2")], &[]).await;
    assert_eq!(again.outputs["runner-id"], step.outputs["runner-id"], "the same run gets the same runners");
    assert_eq!(job.scene.world.count("SELECT count(*) FROM runners").await, 2);
}

#[tokio::test]
async fn runner_of_a_failed_job_that_was_never_online_is_removed() {
    if let Some(node) = harness::tool("TEST_NODE") {
        fail_after_the_request(&Job::start(node).await).await;
    }
}

async fn fail_after_the_request(job: &Job) {
    assert!(job.run("main.js", &[], &[]).await.succeeded);
    let kept = job.run("post.js", &[("remove-on-failure", "false")], &[]).await;
    assert!(kept.succeeded && job.removals().await == 0, "{}", kept.log);
    let removed = job.run("post.js", &[], &[]).await;
    assert!(removed.succeeded && removed.log.contains("its removal was requested"), "{}", removed.log);
    assert_eq!(job.removals().await, 1);
}

#[tokio::test]
async fn refusals_say_what_to_change() {
    if let Some(node) = harness::tool("TEST_NODE") {
        send_bad_requests(&Job::start(node).await).await;
    }
}

async fn send_bad_requests(job: &Job) {
    let refused = job.run("main.js", &[("labels", "ubuntu-latest")], &[]).await;
    assert!(!refused.succeeded && refused.log.contains("label_policy_violation"), "{}", refused.log);
    let other = job.run("main.js", &[("team", "blue")], &[]).await;
    assert!(!other.succeeded && other.log.contains("team_forbidden"), "{}", other.log);
    let without = job.run("main.js", &[], &[("ACTIONS_ID_TOKEN_REQUEST_URL", "")]).await;
    assert!(!without.succeeded && without.log.contains("id-token: write"), "{}", without.log);
    let plain = job.run("main.js", &[("url", "http://runners.example.com")], &[]).await;
    assert!(!plain.succeeded && plain.log.contains("https"), "{}", plain.log);
    assert_eq!(job.scene.world.count("SELECT count(*) FROM runners").await, 0);
}

#[tokio::test]
async fn audience_of_other_services_is_asked_for_only_by_the_input() {
    if let Some(node) = harness::tool("TEST_NODE") {
        meet_a_greedy_service(&Job::start(node).await).await;
    }
}

async fn meet_a_greedy_service(job: &Job) {
    let config = axum::Json(serde_json::json!({ "issuers": [], "token_audience": "sts.amazonaws.com" }));
    let router = axum::Router::new().route("/api/v1/auth/config", axum::routing::get(async || config));
    let greedy = crate::client::serve(router).await;
    let refused = job.run("main.js", &[("url", &greedy)], &[]).await;
    assert!(!refused.succeeded && refused.log.contains("set the input audience"), "{}", refused.log);
    // The token endpoint of the scene issues tokens for the scene's own audience alone.
    let given = job.run("main.js", &[("url", &greedy), ("audience", "sts.amazonaws.com")], &[]).await;
    assert!(given.log.contains("gave no OIDC token (status 403)"), "{}", given.log);
}

#[tokio::test]
async fn service_behind_a_private_authority_is_verified() {
    if let Some(node) = harness::tool("TEST_NODE") {
        use_https(&Job::start(node).await).await;
    }
}

async fn use_https(job: &Job) {
    let (ours, other) = (harness::Authority::new("ours"), harness::Authority::new("other"));
    let port = harness::serve_by_https(&ours.issue(&["localhost"]), job.scene.world.url()).await;
    let (url, file) = (format!("https://localhost:{port}"), job.scene.path("authority.pem"));
    fs::write(&file, other.pem()).unwrap();
    let refused = job.run("main.js", &[("url", &url)], &[("NODE_EXTRA_CA_CERTS", &file)]).await;
    assert!(!refused.succeeded && refused.log.contains("cannot be trusted"), "{}", refused.log);
    fs::write(&file, ours.pem()).unwrap();
    let step = job.run("main.js", &[("url", &url)], &[("NODE_EXTRA_CA_CERTS", &file)]).await;
    assert!(step.succeeded, "{}", step.log);
}
