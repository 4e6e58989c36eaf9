//! The successful path: request a runner, follow the job, fetch the config.

use base64::{Engine, engine::general_purpose::STANDARD};
use harness::{World, provision_body, team_draft};
use serde_json::{Value, json};

/// Returns one of the files in an encoded JIT config.
fn file(encoded: &str, name: &str) -> Value {
    let outer: Value = serde_json::from_slice(&STANDARD.decode(encoded).unwrap()).unwrap();
    serde_json::from_slice(&STANDARD.decode(outer[name].as_str().unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn runner_is_requested_followed_and_collected() {
    let world = World::builder().scheduler().start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;

    let body = json!({ "runner_name_prefix": "ci", "labels": ["gpu-7", "self-hosted"], "work_folder": "w" });
    let answer = world.jit(&ada, &body).await.assert_status(202);
    let job: uuid::Uuid = answer.body["job_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(answer.header("location"), format!("/api/v1/jobs/{job}"));
    assert_eq!(answer.body["status_url"], format!("/api/v1/jobs/{job}"));
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert!(answer.body["runner_name"].as_str().unwrap().starts_with("ci-"));

    let done = world.until_final(&ada, job).await;
    assert_eq!(done["state"], "succeeded", "{done}");
    assert_eq!(done["attempts"], 1);
    assert!(!done.to_string().contains(world.canary()));

    let credential = world.credential(&ada, job).await.assert_status(200);
    assert_eq!(credential.header("cache-control"), "no-store");
    let encoded = credential.body["encoded_jit_config"].as_str().unwrap();
    let command = format!("ACTIONS_RUNNER_INPUT_JITCONFIG='{encoded}' ./run.sh");
    assert_eq!(credential.body["run_command"], command);
    assert_eq!(credential.body["run_command_argv"], format!("./run.sh --jitconfig '{encoded}'"));
    let name = credential.body["runner_name"].as_str().unwrap();
    let settings = file(encoded, ".runner");
    assert_eq!((settings["AgentName"].as_str(), settings["WorkFolder"].as_str()), (Some(name), Some("w")));
    assert!(file(encoded, ".credentials_rsaparams")["d"].as_str().unwrap().starts_with(world.canary()));

    let made = world.twin.runner(name).unwrap();
    assert_eq!(settings["AgentId"], made.id.to_string());
    let labels: Vec<&str> = made.labels.iter().map(|label| label.name.as_str()).collect();
    assert_eq!(labels, ["team-red", "gpu-7", "self-hosted"]);
    assert!(made.ephemeral);
    assert_eq!(world.twin.ledger().of("POST", "generate-jitconfig").count(), 1);
    assert!(world.twin.ledger().violations.is_empty());

    let path = format!("/runners/{}", answer.body["runner_id"].as_str().unwrap());
    let runner = world.get(&path, &ada).await.assert_status(200).body;
    assert_eq!(runner["status"], "pending");
    assert_eq!(runner["github_runner_id"], made.id);
    assert_eq!(runner["runner_name"], name);
    let events: Vec<&str> =
        runner["events"].as_array().unwrap().iter().map(|row| row["event_type"].as_str().unwrap()).collect();
    assert_eq!(events, ["credential.fetch", "runner.registered", "runner.provision"]);
}

#[tokio::test]
async fn waiting_request_gets_the_config_in_one_response() {
    let world = World::start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;

    let asked =
        world.ask("POST", "/runners/jit").by(&ada).header("prefer", "wait=25").json(&provision_body("ci"));
    let answer = asked.send().await.assert_status(201);
    assert_eq!(answer.header("preference-applied"), "wait=25");
    assert_eq!(answer.header("cache-control"), "no-store");
    let name = answer.body["runner_name"].as_str().unwrap();
    let settings = file(answer.body["encoded_jit_config"].as_str().unwrap(), ".runner");
    assert_eq!(settings["AgentName"], name);
    assert!(world.twin.runner(name).is_some());
    assert_eq!(answer.body["labels"], json!(["team-red"]));
    let life = answer.body["expires_at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert!(life > chrono::Utc::now() + chrono::TimeDelta::minutes(55));

    for (prefer, status) in [("respond-async, wait=25", 201), ("respond-async", 202), ("wait=600", 201)] {
        let asked = world.ask("POST", "/runners/jit").by(&ada).header("prefer", prefer);
        asked.json(&provision_body("ci")).send().await.assert_status(status);
    }
}

#[tokio::test]
async fn waiting_request_returns_the_job_when_its_time_is_over() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let asked =
        world.ask("POST", "/runners/jit").by(&ada).header("prefer", "wait=1").json(&provision_body("ci"));
    let answer = asked.send().await.assert_status(202);
    assert_eq!(answer.body["state"], "queued");
    assert_eq!(answer.header("preference-applied"), "");
}

#[tokio::test]
async fn stream_sends_every_state_and_ends_with_the_last() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let asked = world.provision(&ada, provision_body("ci")).await;

    let path = format!("/jobs/{}/events", asked.job);
    let mut stream = world.ask("GET", &path).by(&ada).open().await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut text = Vec::new();
    while let Some(bytes) = stream.chunk().await.unwrap() {
        if text.is_empty() {
            world.keep_running(world.start_worker());
        }
        text.extend_from_slice(&bytes);
    }
    let text = String::from_utf8(text).unwrap();
    assert!(text.lines().filter(|line| line.starts_with("event:")).all(|line| line == "event: status"));
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let states: Vec<Value> = data.map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(states.first().unwrap()["state"], "queued");
    assert_eq!(states.last().unwrap()["state"], "succeeded");
    assert!(!text.contains(world.canary()));
}

#[tokio::test]
async fn unchanged_job_is_answered_with_304() {
    let world = World::start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.until_final(&ada, asked.job).await;

    let path = format!("/jobs/{}", asked.job);
    let first = world.get(&path, &ada).await.assert_status(200);
    let tag = first.header("etag");
    let again = world.ask("GET", &path).by(&ada).header("if-none-match", tag).send().await.assert_status(304);
    assert_eq!((again.header("etag"), again.text.as_str()), (tag, ""));
    world.ask("GET", &path).by(&ada).header("if-none-match", "\"other\"").send().await.assert_status(200);
    assert_eq!(first.header("retry-after"), "");
}

#[tokio::test]
async fn config_can_be_read_again_for_two_minutes() {
    let world = World::start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.until_final(&ada, asked.job).await;

    let first = world.credential(&ada, asked.job).await.assert_status(200);
    let second = world.credential(&ada, asked.job).await.assert_status(200);
    assert_eq!(first.body, second.body);
    let age = "UPDATE credentials SET first_read_at = first_read_at - interval '121 s' WHERE job_id = $1";
    world.change(age, asked.job).await;
    world.credential(&ada, asked.job).await.refused(410, "credential_gone");
    assert_eq!(scheduler::shred::run(world.scheduler_parts()).await.unwrap(), 1);
    world.credential(&ada, asked.job).await.refused(410, "credential_gone");
    let left = "SELECT count(*) FROM credentials WHERE ciphertext IS NOT NULL OR wrapped_key IS NOT NULL";
    assert_eq!(world.count(left).await, 0);
    let handed = "SELECT count(*) FROM audit_log WHERE event_type = 'credential.fetch' AND success";
    assert_eq!(world.count(handed).await, 2);
}

#[tokio::test]
async fn unread_config_is_removed_when_it_expires() {
    let world = World::start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.until_final(&ada, asked.job).await;
    world.change("UPDATE credentials SET expires_at = now() WHERE job_id = $1", asked.job).await;
    world.credential(&ada, asked.job).await.refused(410, "credential_gone");
    assert_eq!(scheduler::shred::run(world.scheduler_parts()).await.unwrap(), 1);
}

#[tokio::test]
async fn only_the_requester_gets_the_config() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let blue = world.team(team_draft("blue")).await;
    let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&red]).await);
    let (eve, root) = (world.user("eve", &[&blue]).await, world.admin().await);
    let asked = world.provision(&ada, provision_body("ci")).await;

    world.credential(&ada, asked.job).await.refused(409, "credential_not_ready");
    world.keep_running(world.start_worker());
    world.until_final(&ada, asked.job).await;
    world.credential(&bob, asked.job).await.refused(403, "credential_denied");
    world.credential(&root, asked.job).await.refused(403, "credential_denied");
    world.credential(&eve, asked.job).await.refused(404, "not_found");

    let alarms =
        world.get("/admin/security-events?event_type=credential_denied", &root).await.assert_status(200).body;
    let who: Vec<_> =
        alarms["events"].as_array().unwrap().iter().map(|event| &event["user_identity"]).collect();
    assert_eq!(who, ["eve@example.com", "root@example.com", "bob@example.com"]);
    assert_eq!(alarms["events"][2]["severity"], "high");
    let tried = "SELECT count(*) FROM audit_log WHERE event_type = 'credential.fetch' AND NOT success";
    assert_eq!(world.count(tried).await, 3);
    let strange = "SELECT count(*) FROM audit_log WHERE user_identity = 'eve@example.com' AND team_id IS NULL
        AND job_id IS NOT NULL AND event_data ->> 'team_id' IS NOT NULL";
    assert_eq!(world.count(strange).await, 1, "eve's attempt is not in the team's log");
    world.credential(&ada, asked.job).await.assert_status(200);
}
