//! Configs that are sealed to a key of the caller.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::{KeyRing, SealError, Sealed, SealedConfig, SealingKeyPair, sealed_config_context};
use harness::{ApiResponse, Person, World, provision_body, team_draft};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::serve;

struct Scene {
    world: World,
    ada: Person,
    pair: SealingKeyPair,
}

impl Scene {
    async fn of(world: World) -> Self {
        let red = world.team(team_draft("red")).await;
        let ada = world.user("ada", &[&red]).await;
        Self { ada, pair: SealingKeyPair::generate().unwrap(), world }
    }

    async fn request(&self, sealing_key: Option<String>, prefer: &str) -> ApiResponse {
        let mut body = provision_body("ci");
        if let Some(key) = sealing_key {
            body["sealing_key"] = json!(key);
        }
        let asked = self.world.ask("POST", "/runners/jit").by(&self.ada).header("prefer", prefer);
        asked.header("idempotency-key", "k-1").json(&body).send().await
    }

    fn key(&self) -> String {
        self.pair.public().to_string()
    }
}

fn open(pair: &SealingKeyPair, answer: &Value) -> Result<String, SealError> {
    let text = |member: &str| answer[member].as_str().unwrap().to_owned();
    let context = sealed_config_context(text("job_id"), text("runner_id"), &text("runner_name"));
    let sealed: SealedConfig = serde_json::from_value(answer["sealed_config"].clone()).unwrap();
    pair.open(&context, &sealed).map(|config| config.expose().to_owned())
}

#[tokio::test]
async fn sealed_config_opens_for_its_caller_and_not_for_the_service() {
    let scene = Scene::of(World::start().await).await;
    let answer = scene.request(Some(scene.key()), "wait=25").await.assert_status(201);
    assert_eq!(answer.body["kind"], "sealed_jit_config");
    assert!(answer.body["encoded_jit_config"].is_null() && answer.body["run_command"].is_null());
    let config = open(&scene.pair, &answer.body).unwrap();
    assert!(!answer.text.contains(&config));
    let outer: Value = serde_json::from_slice(&STANDARD.decode(&config).unwrap()).unwrap();
    let runner: Value =
        serde_json::from_slice(&STANDARD.decode(outer[".runner"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(runner["AgentName"], answer.body["runner_name"]);

    let mut moved = answer.body.clone();
    moved["runner_id"] = json!(Uuid::now_v7());
    assert_eq!(open(&scene.pair, &moved).unwrap_err(), SealError::Broken, "it is bound to its runner");
    let other = SealingKeyPair::generate().unwrap();
    assert_eq!(open(&other, &answer.body).unwrap_err(), SealError::Broken);

    let job: Uuid = answer.body["job_id"].as_str().unwrap().parse().unwrap();
    let again = scene.world.credential(&scene.ada, job).await.assert_status(200);
    assert_eq!(again.body["sealed_config"], answer.body["sealed_config"]);
    let rows: Vec<(String, Vec<u8>, Vec<u8>)> =
        sqlx::query_as("SELECT key_id, wrapped_key, ciphertext FROM credentials")
            .fetch_all(scene.world.sql())
            .await
            .unwrap();
    let [(key_id, wrapped_key, ciphertext)] = rows.as_slice() else { panic!("{} rows", rows.len()) };
    let context = domain::credential_context(job.into(), answer.body["runner_name"].as_str().unwrap());
    for id in [key_id.as_str(), "test"] {
        let ring = KeyRing::new(&[(id.to_owned(), harness::CREDENTIAL_KEY.to_vec().into())]).unwrap();
        let stored = Sealed {
            key_id: id.to_owned(),
            wrapped_key: wrapped_key.clone(),
            ciphertext: ciphertext.clone(),
        };
        assert_eq!(
            ring.open(&context, &stored).unwrap_err(),
            SealError::Broken,
            "the service's key is no key of it"
        );
    }
    let noted = "SELECT count(*) FROM audit_log
        WHERE event_type = 'runner.provision' AND event_data->>'sealed_to_requester' = 'true'";
    assert_eq!(scene.world.count(noted).await, 1);

    let age = "UPDATE credentials SET first_read_at = first_read_at - interval '121 s' WHERE job_id = $1";
    scene.world.change(age, job).await;
    assert_eq!(scheduler::shred::run(scene.world.scheduler_parts()).await.unwrap(), 1);
    scene.world.credential(&scene.ada, job).await.refused(410, "credential_gone");
    let left = "SELECT count(*) FROM credentials WHERE ciphertext IS NOT NULL OR wrapped_key IS NOT NULL";
    assert_eq!(scene.world.count(left).await, 0);
}

#[tokio::test]
async fn bad_sealing_keys_are_refused_with_their_field() {
    let scene = Scene::of(World::builder().workers(0).start().await).await;
    let low_order = "7P///////////////////////////////////////38=";
    for bad in ["", "AAAA", "not base64", &STANDARD.encode([7; 33]), &STANDARD.encode([0; 32]), low_order] {
        let refused = scene.request(Some(bad.to_owned()), "respond-async").await;
        let refused = refused.refused(422, "validation_failed");
        assert_eq!(refused.body["errors"][0]["pointer"], "/sealing_key", "{bad}: {}", refused.text);
    }
    assert_eq!(scene.world.count("SELECT count(*) FROM jobs").await, 0);
}

#[tokio::test]
async fn repeated_request_must_send_the_same_key() {
    let scene = Scene::of(World::builder().workers(0).start().await).await;
    let first = scene.request(Some(scene.key()), "respond-async").await.assert_status(202);
    let again = scene.request(Some(scene.key()), "respond-async").await.assert_status(202);
    assert_eq!(first.body["job_id"], again.body["job_id"]);
    for other in [None, Some(SealingKeyPair::generate().unwrap().public().to_string())] {
        let refused = scene.request(other, "respond-async").await.refused(422, "idempotency_mismatch");
        assert_eq!(refused.body["errors"][0]["pointer"], "/sealing_key", "{}", refused.text);
    }
    assert_eq!(scene.world.count("SELECT count(*) FROM jobs").await, 1);
}

#[tokio::test]
async fn dashboard_names_the_command_and_hands_nothing_out() {
    let scene = Scene::of(World::start().await).await;
    let answer = scene.request(Some(scene.key()), "respond-async").await.assert_status(202);
    let job: Uuid = answer.body["job_id"].as_str().unwrap().parse().unwrap();
    scene.world.until_final(&scene.ada, job).await;
    let browser = scene.world.sign_in(&scene.ada).await;
    let path = format!("/jobs/{job}/config");
    let page = browser.get(&path).await.assert_status(200);
    assert!(page.text.contains(&format!("rts job config {job}")), "{}", page.text);
    browser.post(&path, &[]).await.assert_status(303);
    assert_eq!(
        scene.world.count("SELECT count(*) FROM credentials WHERE first_read_at IS NOT NULL").await,
        0
    );
}

#[tokio::test]
async fn command_seals_by_itself_and_opens_the_config_again() {
    let scene = Scene::of(World::start().await).await;
    let variables = scene.world.caller_environment(&scene.ada.token);
    let run = async |words: &[&str]| scene.world.command(words, &variables).await;
    let sealed = "SELECT count(*) FROM credentials WHERE key_id = 'hpke:x25519'";

    let words = ["provision", "--label", "linux", "-o", "json"];
    let said = run(&words).await.expect(0).json();
    assert_eq!((scene.world.count(sealed).await, &said["kind"]), (1, &json!("jit_config")));
    let config = said["encoded_jit_config"].as_str().unwrap();
    assert!(said["run_command"].as_str().unwrap().contains(config) && said["sealed_config"].is_null());
    let job = said["job_id"].as_str().unwrap();
    let again = run(&["job", "config", job, "-o", "json"]).await.expect(0).json();
    assert_eq!(again["encoded_jit_config"], said["encoded_jit_config"]);
    let key = scene.world.folder().join(".local/state/rts/sealing-keys").join(job);
    std::fs::remove_file(&key).unwrap();
    let lost = run(&["job", "config", job, "-o", "json"]).await.expect(1);
    assert!(lost.stderr.contains("not on this machine"), "{}", lost.stderr);

    let later = run(&["provision", "--label", "linux", "--no-wait", "-o", "name"]).await.expect(0);
    let later = later.stdout.trim().to_owned();
    run(&["job", "watch", &later]).await.expect(0);
    run(&["job", "config", &later, "--config-file", "later.config"]).await.expect(0);
    let chosen = ["provision", "--label", "linux", "--idempotency-key", "k-1", "-o", "json"];
    run(&chosen).await.expect(0);
    assert_eq!(scene.world.count(sealed).await, 2, "other machines may know a chosen key");
    run(&[&words[..], &["--seal", "never"]].concat()).await.expect(0);
    assert_eq!(scene.world.count(sealed).await, 2);
    let chosen = [&chosen[..4], &["k-2", "-o", "json", "--seal", "always"]].concat();
    let (first, again) = (run(&chosen).await.expect(0).json(), run(&chosen).await.expect(0).json());
    assert_eq!(first["encoded_jit_config"], again["encoded_jit_config"]);
    assert_eq!(scene.world.count(sealed).await, 3);
}

/// Answers as a service of an earlier release, which does not know sealing keys.
async fn earlier_release(State(config): State<String>, Json(body): Json<Value>) -> Response {
    if !body["sealing_key"].is_null() {
        let errors = json!([{ "pointer": "/sealing_key", "detail": "unknown field `sealing_key`, expected one of `labels`" }]);
        let problem = json!({ "code": "validation_failed", "detail": "Not valid.", "errors": errors });
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(problem)).into_response();
    }
    let (job, name) = (Uuid::nil(), "ci-1");
    let answer =
        json!({ "kind": "jit_config", "job_id": job, "runner_name": name, "encoded_jit_config": config });
    (StatusCode::CREATED, Json(answer)).into_response()
}

#[tokio::test]
async fn earlier_release_of_the_service_gets_the_request_without_a_key() {
    let scene = Scene::of(World::builder().workers(0).start().await).await;
    let router =
        Router::new().route("/api/v1/runners/jit", post(earlier_release)).with_state("eyJ".to_owned());
    let url = serve(router).await;
    let own = scene.world.caller_environment(&scene.ada.token);
    let variables = [&own[..], &[("RTS_URL", url.as_str())]].concat();
    let words = ["provision", "--label", "linux", "-o", "json"];
    let said = scene.world.command(&words, &variables).await.expect(0);
    assert_eq!(said.json()["encoded_jit_config"], "eyJ");
    assert!(said.stderr.contains("does not seal configs yet"), "{}", said.stderr);
    let strict = [&words[..], &["--seal", "always"]].concat();
    scene.world.command(&strict, &variables).await.expect(4);
}
