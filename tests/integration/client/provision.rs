//! `rts provision`: one runner, one config, one place that the config goes to.

use std::{os::unix::fs::PermissionsExt, process::Stdio};

use harness::{World, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::Scene;

const RUNNERS: &str = "SELECT count(*) FROM runners";
const NOT_DELETED: &str = "SELECT count(*) FROM runners WHERE status <> 'deleted'";

#[tokio::test]
async fn child_has_the_config_and_no_token_and_hands_on_its_code() {
    let scene = Scene::new().await;
    let check = r#"test -n "$ACTIONS_RUNNER_INPUT_JITCONFIG" && test -z "$RTS_TOKEN" && exit 7"#;
    let words = ["provision", "--label", "linux", "--exec", "sh", "-c", check];
    let said = scene.run(&scene.ada, &words).await.expect(7);
    assert!(said.stdout.is_empty() && !said.stderr.contains(scene.world.canary()), "{said:?}");
    assert!(said.stderr.starts_with("idempotency key rts-"), "{}", said.stderr);
    assert!(said.stderr.contains("its removal is requested"), "it was never online: {}", said.stderr);
    wait_until("it goes", || async { scene.count(NOT_DELETED).await == 0 }).await;
    assert!(
        scene
            .run(&scene.ada, &["provision", "-l", "linux", "--exec", "/no/such"])
            .await
            .expect(1)
            .stdout
            .is_empty()
    );
}

#[tokio::test]
async fn config_goes_to_a_private_file_a_descriptor_or_stdout() {
    let scene = Scene::new().await;
    let file = scene.world.folder().join("jit.config");
    let words = ["provision", "--label", "linux", "--config-file", "jit.config", "-o", "json"];
    let said = scene.run(&scene.ada, &words).await.expect(0);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let config = std::fs::read_to_string(&file).unwrap();
    assert!(config.trim().len() > 100 && !said.stdout.contains(config.trim()), "{}", said.stdout);
    assert!(said.json()["encoded_jit_config"].is_null());
    scene.run(&scene.ada, &words).await.expect(2);
    assert_eq!(scene.count(RUNNERS).await, 1, "an existing file stops the command before it asks");

    let said = scene.run(&scene.ada, &["provision", "--label", "linux", "-o", "json"]).await.expect(0).json();
    assert!(said["encoded_jit_config"].as_str().unwrap().len() > 100);
    let none = scene.run(&scene.ada, &["provision", "--label", "linux"]).await.expect(2);
    assert!(none.stderr.contains("--config-file"), "{}", none.stderr);
    scene.run(&scene.ada, &["provision", "--label", "linux", "--config-fd", "2"]).await.expect(2);
    assert_eq!(scene.count(RUNNERS).await, 2);

    let job = said["job_id"].as_str().unwrap();
    let again = ["job", "config", job, "--config-file", "again.config"];
    scene.run(&scene.ada, &again).await.expect(0);
    let again = std::fs::read_to_string(scene.world.folder().join("again.config")).unwrap();
    assert_eq!(again.trim(), said["encoded_jit_config"].as_str().unwrap());
}

#[tokio::test]
async fn several_runners_have_a_private_file_or_a_line_each() {
    let scene = Scene::new().await;
    let folder = scene.world.folder().join("configs");
    std::fs::create_dir(&folder).unwrap();
    let words = ["provision", "--label", "linux", "--count", "3"];
    let said = scene.run(&scene.ada, &[&words[..], &["--config-folder", "configs"]].concat()).await.expect(0);
    assert_eq!(said.stdout.lines().count(), 3, "{}", said.stdout);
    let mut configs: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        configs.push(std::fs::read_to_string(&path).unwrap().trim().to_owned());
        let name = path.file_name().unwrap().to_str().unwrap().trim_end_matches(".jit");
        assert!(said.stdout.contains(&format!("runner {name}: ")), "{}", said.stdout);
    }
    configs.sort();
    configs.dedup();
    assert_eq!((configs.len(), scene.count(RUNNERS).await), (3, 3));
    assert!(configs.iter().all(|config| !said.stdout.contains(config) && !said.stderr.contains(config)));

    let said = scene.run(&scene.ada, &[&words[..], &["-o", "jsonl"]].concat()).await.expect(0);
    let has_config = |line: &str| line.contains("\"encoded_jit_config\":\"");
    assert_eq!(said.stdout.lines().filter(|line| has_config(line)).count(), 3);
    let said = scene.run(&scene.ada, &[&words[..], &["--no-wait", "-o", "json"]].concat()).await.expect(0);
    assert_eq!(said.json().as_array().unwrap().len(), 3);
    assert_eq!(scene.count(RUNNERS).await, 9);
    for wrong in [&["--exec", "true"][..], &["--name", "one"], &["--config-folder", "none"], &[]] {
        scene.run(&scene.ada, &[&words[..], wrong].concat()).await.expect(2);
    }
    assert_eq!(scene.count(RUNNERS).await, 9);
}

#[tokio::test]
async fn quota_ends_the_requests_and_the_accepted_ones_are_handed_over() {
    let scene = Scene::new().await;
    let admin = scene.world.admin().await;
    let edit = ["team", "edit", "red", "--max-runners", "2"];
    scene.run(&admin, &edit).await.expect(0);
    let words = ["provision", "--label", "linux", "--count", "3", "-o", "jsonl"];
    let said = scene.run(&scene.ada, &words).await.expect(4);
    assert_eq!(said.stdout.lines().count(), 2, "{}", said.stdout);
    assert!(said.stderr.contains("2 of 3") && said.stderr.contains("--count 1"), "{}", said.stderr);
}

#[tokio::test]
async fn interrupted_request_gets_the_same_runner() {
    let scene = Scene::of(World::builder().workers(0).start().await).await;
    let words = ["provision", "--label", "linux", "--wait", "1s", "-o", "json"];
    let first = scene.run(&scene.ada, &words).await.expect(6);
    let key = |remarks: &str| remarks.lines().next().unwrap().to_owned();
    assert_eq!(scene.count(RUNNERS).await, 1);

    // Ctrl-C, while another equal request waits: two commands at once are two runners.
    let mut command = tokio::process::Command::new(scene.world.rts());
    command.args(["provision", "--label", "linux", "-o", "json"]).env_clear();
    command.envs(scene.world.caller_environment(&scene.ada.token));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut waiting = command.spawn().unwrap();
    let waiting_id = waiting.id().unwrap();
    let mut remarks = BufReader::new(waiting.stderr.take().unwrap()).lines();
    let interrupted = remarks.next_line().await.unwrap().unwrap();
    let again = scene.run(&scene.ada, &words).await.expect(6);
    wait_until("both are waiting", || async { scene.count(RUNNERS).await == 2 }).await;
    kill(Pid::from_raw(waiting_id.cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(waiting.wait().await.unwrap().code(), Some(130));
    assert_eq!(interrupted, key(&first.stderr), "the first request is resumed");
    assert_ne!(interrupted, key(&again.stderr));

    let _worker = scene.world.start_worker();
    let words = ["provision", "--label", "linux", "-o", "json"];
    let one = scene.run(&scene.ada, &words).await.expect(0);
    let two = scene.run(&scene.ada, &words).await.expect(0);
    assert_ne!(one.json()["runner_id"], two.json()["runner_id"]);
    assert_eq!(scene.count(RUNNERS).await, 2, "both interrupted requests have their runner");
    scene.run(&scene.ada, &words).await.expect(0);
    assert_eq!(scene.count(RUNNERS).await, 3, "a key is forgotten with its config");
}

#[tokio::test]
async fn key_of_the_caller_is_one_runner() {
    let scene = Scene::new().await;
    let words = ["provision", "--label", "linux", "--idempotency-key", "build-7", "-o", "json"];
    let (first, again) = (scene.run(&scene.ada, &words).await, scene.run(&scene.ada, &words).await);
    let config = |said: harness::Output| said.expect(0).json()["encoded_jit_config"].clone();
    assert_eq!(config(first), config(again));
    assert_eq!(scene.count(RUNNERS).await, 1);
}

#[tokio::test]
async fn refusals_and_jobs_end_with_their_codes() {
    let scene = Scene::new().await;
    let refused =
        scene.run(&scene.ada, &["provision", "--label", "ubuntu-latest", "-o", "json"]).await.expect(4);
    assert!(refused.stderr.contains("label_policy_violation"), "{}", refused.stderr);
    let words = ["provision", "--label", "linux", "--no-wait", "-o", "json"];
    let job = scene.run(&scene.ada, &words).await.expect(0).json();
    let job = job["job_id"].as_str().unwrap();
    let watched = scene.run(&scene.ada, &["job", "watch", job]).await.expect(0);
    assert!(watched.stdout.contains("succeeded"), "{}", watched.stdout);
    scene.run(&scene.ada, &["job", "cancel", job]).await.expect(4);
    let away = ["provision", "--label", "linux", "--wait", "0s", "-o", "json", "--url", "http://127.0.0.1:1"];
    scene.run(&scene.ada, &away).await.expect(3);
}

#[tokio::test]
async fn signals_reach_the_child_and_its_end_is_handed_on() {
    let scene = Scene::new().await;
    let child = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done";
    let mut command = tokio::process::Command::new(scene.world.rts());
    command.args(["provision", "--label", "linux", "--exec", "sh", "-c", child]).env_clear();
    command.envs(scene.world.caller_environment(&scene.ada.token)).env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut running = command.spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("ready"));
    kill(Pid::from_raw(running.id().unwrap().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(running.wait().await.unwrap().code(), Some(9));
    wait_until("the unused runner goes", || async { scene.count(NOT_DELETED).await == 0 }).await;
}

#[tokio::test]
async fn open_descriptor_gets_the_config() {
    let scene = Scene::new().await;
    let rts = scene.world.rts();
    let script = "exec \"$0\" provision --label linux --config-fd 3 3>fd.config";
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", script]).arg(rts).current_dir(scene.world.folder()).env_clear();
    command.envs(scene.world.caller_environment(&scene.ada.token)).env("PATH", "/usr/bin:/bin");
    let said = command.output().await.unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let config = std::fs::read_to_string(scene.world.folder().join("fd.config")).unwrap();
    assert!(config.trim().len() > 100 && !String::from_utf8_lossy(&said.stdout).contains(config.trim()));
}
