//! The first page of the documents: three commands to a runner that takes a job, and a pipeline of ten lines.

use std::process::Stdio;

use github_twin::RunnerChange;
use harness::eventually;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::examples::Scene;

const GUIDE: &str = include_str!("../../docs/guides/quickstart.md");

/// Returns the first block of the guide in this language.
fn block(language: &str) -> &'static str {
    GUIDE.split_once(&format!("```{language}\n")).unwrap().1.split_once("```").unwrap().0
}

/// Replaces the addresses of the guide by those of the scene.
fn here(scene: &Scene, text: &str) -> String {
    let begin = text.find("https://github.com/").unwrap_or_default();
    let end = text.find(".tar.gz").map_or(begin, |end| end + ".tar.gz".len());
    let text = text.replace(&text[begin..end], &format!("{}/runner.tar.gz", scene.outside));
    text.replace("https://runners.example.com", scene.world.url())
}

#[tokio::test]
async fn three_commands_lead_from_an_empty_machine_to_a_runner_that_takes_a_job() {
    let scene = Scene::new().await;
    let ada = scene.world.user("ada", &[&scene.team]).await;
    let commands = here(&scene, block("sh"));
    assert_eq!(commands.lines().count(), 3);
    let home = scene.world.folder().join("empty");
    std::fs::create_dir(&home).unwrap();
    let mut sh = Command::new("sh");
    sh.args(["-euc", &commands]).current_dir(&home).env_clear().env("PATH", "/usr/bin:/bin");
    sh.env("HOME", &home).env("PROOF", scene.path("proof")).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut machine = sh.kill_on_drop(true).spawn().unwrap();
    let mut said = BufReader::new(machine.stderr.take().unwrap()).lines();
    let page = loop {
        let line = said.next_line().await.unwrap().expect("the client shows a page");
        if let Some(page) = line.split_whitespace().find(|word| word.contains("user_code=")) {
            break page.to_owned();
        }
    };
    let browser = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(browser.get(format!("{page}&person=ada")).send().await.unwrap().status(), 200);
    let mut rest = Vec::new();
    while let Some(line) = said.next_line().await.unwrap() {
        rest.push(line);
    }
    assert!(machine.wait().await.unwrap().success(), "{rest:?}");
    let config = std::fs::read_to_string(scene.path("proof")).unwrap();
    assert!(!rest.concat().contains(config.trim()));

    let runner = scene.world.twin.runners().pop().unwrap();
    let busy = RunnerChange { busy: Some(true), ..RunnerChange::online() };
    scene.world.twin.set_runner(runner.id, busy).unwrap();
    let listed = scene.world.get("/runners", &ada).await.assert_status(200).body["runners"][0].clone();
    let refresh = format!("/runners/{}/refresh", listed["runner_id"].as_str().unwrap());
    eventually("the runner is busy", || async {
        scene.world.ask("POST", &refresh).by(&ada).header("prefer", "wait=25").send().await;
        let shown = scene.world.get("/runners", &ada).await.body["runners"][0].clone();
        (shown["status"] == "active" && shown["busy"] == true).then_some(())
    })
    .await;
}

#[tokio::test]
async fn pipeline_of_ten_lines_starts_a_runner() {
    let scene = Scene::new().await;
    let text = block("yaml");
    assert!(text.lines().count() <= 10, "{text}");
    let workflow: Value = serde_saphyr::from_str(text).unwrap();
    let job = &workflow["jobs"]["runner"];
    assert_eq!(job["permissions"]["id-token"], "write");
    let url = format!("{}/actions?x=1", scene.outside);
    let environment = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", url.as_str()),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-secret"),
    ];
    scene.starts_a_runner(job["steps"][0]["run"].as_str().unwrap(), "", &environment).await;
}
