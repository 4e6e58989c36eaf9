//! Refusals common to all calls, tried on every call of the API description.

use harness::{ApiRequest, Person, World, eventually, provision_body, team_draft};
use serde_json::{Value, json};

async fn admin(world: &World) -> Person {
    world.admin().await
}

/// Returns method and path of every call with a JSON body; ids are those of no resource.
fn calls_with_body() -> Vec<(String, String)> {
    let description = serde_json::to_value(api::description()).unwrap();
    let mut calls = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, call) in item.as_object().unwrap() {
            if call["requestBody"]["content"]["application/json"].is_object() && !path.contains("webhooks") {
                calls.push((method.to_uppercase(), real(path)));
            }
        }
    }
    assert!(calls.len() >= 8, "{calls:?}");
    calls
}

fn real(path: &str) -> String {
    let path = path.replace("{lane}", "provision");
    let parts = path
        .split('/')
        .map(|part| if part.starts_with('{') { "00000000-0000-7000-8000-000000000000" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn array_where_an_object_is_expected_is_refused_by_every_call() {
    let world = World::builder().workers(0).registration_tokens().start().await;
    let root = admin(&world).await;
    for (method, path) in calls_with_body() {
        for body in [
            json!([]),
            json!(["renamed-by-array"]),
            json!([null, null]),
            json!([null, "a", ["linux"], null, null, null, null]),
        ] {
            let answer = world.request(&method, &path).by(&root).json(&body).send().await;
            assert_eq!(
                (answer.status, answer.code()),
                (422, "validation_failed"),
                "{method} {path} {body}: {}",
                answer.text
            );
            let detail = answer.body["errors"][0]["detail"].as_str().unwrap();
            assert!(detail.contains("an object") && !detail.contains("struct"), "{method} {path}: {detail}");
        }
    }
}

#[tokio::test]
async fn control_character_in_any_body_text_is_reported_with_a_pointer() {
    let world = World::builder().workers(0).registration_tokens().start().await;
    let root = admin(&world).await;
    for (method, path) in calls_with_body() {
        for (body, pointer) in [
            (json!({ "name": "a\u{0}b" }), "/name"),
            (json!({ "rule": { "subject": "a", "claims": { "x\u{0}": 1 } } }), "/rule/claims/x\u{fffd}"),
            (json!({ "rule": { "claims": { "x": ["a", "\u{0}"] } } }), "/rule/claims/x/1"),
            (json!({ "deactivation_reason": "\u{7f}" }), "/deactivation_reason"),
        ] {
            let answer = world.request(&method, &path).by(&root).json(&body).send().await;
            assert_eq!(
                (answer.status, answer.pointers()),
                (422, vec![pointer]),
                "{method} {path} {body}: {}",
                answer.text
            );
        }
    }
}

#[tokio::test]
async fn control_character_in_any_query_value_is_reported_with_a_pointer() {
    let world = World::builder().workers(0).start().await;
    let root = admin(&world).await;
    let description = serde_json::to_value(api::description()).unwrap();
    let mut tried = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        for parameter in item["get"]["parameters"].as_array().map(Vec::as_slice).unwrap_or_default() {
            if parameter["in"] != "query" {
                continue;
            }
            let name = parameter["name"].as_str().unwrap();
            for value in ["%00", "a%00b", "%1B%5B31m", "%C2%9F"] {
                let ask = world.request("GET", &format!("{}?{name}={value}", real(path))).by(&root);
                let answer = ask.send().await;
                assert!(matches!(answer.status, 404 | 422), "{path} {name}={value}: {}", answer.text);
                if answer.status == 422 {
                    assert_eq!(answer.pointers(), [format!("query:{name}")], "{path}");
                }
                tried += 1;
            }
            let empty = world.request("GET", &format!("{}?{name}=", real(path))).by(&root).send().await;
            assert!(empty.status < 500, "{path} {name}=: {}", empty.text);
            assert_eq!(parameter["allowEmptyValue"], json!(true), "{path} {name}");
        }
    }
    assert!(tried >= 60, "{tried}");
    world.request("GET", "/api/v1/jobs?%00=1").by(&root).send().await.refused(422, "validation_failed");
}

#[tokio::test]
async fn team_filter_takes_an_id_or_a_name() {
    let world = World::builder().workers(0).start().await;
    let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&blue]).await);
    world.provision(&ada, provision_body("ada")).await;
    world.provision(&bob, provision_body("bob")).await;
    let root = admin(&world).await;
    for list in ["/runners", "/jobs", "/audit-logs"] {
        for named in [
            format!("team={}", red.id),
            "team=red".to_owned(),
            "team=RED".to_owned(),
            "team_id=red".to_owned(),
            format!("team_id={}", red.id),
        ] {
            let answer = world.get(&format!("{list}?{named}"), &root).await.assert_status(200);
            assert_eq!(answer.body["total"], 1, "{list}?{named}");
        }
        let nobody = world.get(&format!("{list}?team=nowhere"), &root).await.assert_status(200);
        assert_eq!(nobody.body["total"], 0, "{list}");
        let hidden = world.get(&format!("{list}?team=blue"), &ada).await.assert_status(200);
        assert_eq!(hidden.body["total"], 0, "{list}");
    }
    let by_identity = world.get("/audit-logs?user_identity=ada@example.com", &root).await.assert_status(200);
    assert_eq!(by_identity.body["total"], 1);
}

#[tokio::test]
async fn trigger_takes_no_body_an_empty_one_and_null() {
    let world = World::builder().workers(0).start().await;
    let root = admin(&world).await;
    let ask = || world.ask("POST", "/admin/sync/trigger").by(&root);
    ask().send().await.assert_status(202);
    for body in ["", "null", " null ", "{}"] {
        ask().raw("application/json", body).send().await.assert_status(202);
    }
    ask().raw("application/json", "[]").send().await.refused(422, "validation_failed");
}

fn check_names(health: &Value) -> Vec<&str> {
    health["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn health_names_every_issuer_once_and_the_version() {
    let world = World::builder().workers(0).issuers(2).start().await;
    let health = world.request("GET", "/health").send().await;
    let names = check_names(&health.body);
    for name in ["issuer_keys:issuer-0", "issuer_keys:issuer-1", "database", "queue"] {
        assert_eq!(names.iter().filter(|known| **known == name).count(), 1, "{names:?}");
    }
    assert!(health.body["version"].is_string());
    assert_ne!(health.body["commit"], Value::String(String::new()));
}

#[tokio::test]
async fn health_of_a_process_tells_keys_and_their_refresh_apart() {
    let world = World::builder().workers(0).start().await;
    let api = world.program("api", &[]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/health", api.address().await);
    let health = eventually("the keys are read", || async {
        let health = ApiRequest::new(&client, "GET", url.clone()).send().await;
        (health.status == 200).then_some(health)
    })
    .await;
    let names = check_names(&health.body);
    let keys: Vec<_> = names.iter().filter(|name| name.starts_with("issuer_keys")).collect();
    assert!(keys.len() == 1 && keys[0].starts_with("issuer_keys:"), "{names:?}");
    assert!(names.contains(&"issuer_key_refresh"), "{names:?}");
    api.stop().await;
}
