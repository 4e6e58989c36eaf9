//! Secrecy of JIT configs. A canary in every private part may appear in the responses that hand a config out, and
//! nowhere else: no log line, metric, row, key, problem or event.

use domain::{KeyRing, SealError, Sealed};
use github_twin::{Fault, FaultKind, needles};
use harness::{World, logs, provision_body, team_draft};
use sqlx::AssertSqlSafe;

/// Searched texts with their names.
type Places = Vec<(String, String)>;

/// Returns the canary as text and as hexadecimal, the form in which the database shows bytes.
fn traces(world: &World) -> Vec<String> {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    let hex = |text: &String| text.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    let plain = needles(world.canary());
    plain.iter().cloned().chain(plain.iter().map(hex)).collect()
}

/// Returns every row of every table, bytes included.
async fn rows(world: &World) -> Places {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'",
    )
    .fetch_all(world.sql())
    .await
    .unwrap();
    let mut places = Vec::new();
    for table in tables {
        let sql = AssertSqlSafe(format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t"));
        let text: String = sqlx::query_scalar(sql).fetch_one(world.sql()).await.unwrap();
        places.push((format!("table {table}"), text));
    }
    places
}

async fn everywhere(world: &World) -> Places {
    let mut places = rows(world).await;
    places.push(("redis".into(), world.redis().dump().await));
    places.push(("metrics".into(), world.request("GET", "/metrics").send().await.assert_status(200).text));
    places.push(("logs".into(), logs::recorded()));
    places
}

fn assert_clean(world: &World, places: &Places) {
    let traces = traces(world);
    for (place, text) in places {
        let found = traces.iter().find(|trace| text.contains(trace.as_str()));
        assert!(found.is_none(), "{place} holds {found:?}");
    }
}

#[tokio::test]
async fn configs_appear_only_in_handout_responses() {
    logs::record("trace");
    let world = World::builder().workers(2).scheduler().start().await;
    let red = world.team(team_draft("red")).await;
    let (ada, bob, root) =
        (world.user("ada", &[&red]).await, world.user("bob", &[&red]).await, world.admin().await);
    let faults = [
        FaultKind::EffectThenDrop,
        FaultKind::EffectThenStatus { status: 502 },
        FaultKind::SecondaryLimit { status: 429, retry_after: Some(1) },
        FaultKind::SlowDrip { ms: 1, bytes: 500 },
    ];
    let (mut answers, mut handed) = (Places::new(), Vec::new());
    for fault in std::iter::once(None).chain(faults.into_iter().map(Some)) {
        if let Some(kind) = fault {
            world.twin.fault(Fault::once("POST", "generate-jitconfig", kind));
        }
        let asked = world.provision(&ada, provision_body("ci")).await;
        let path = format!("/jobs/{}", asked.job);
        let stream = world.ask("GET", &format!("{path}/events")).by(&ada).send().await.assert_status(200);
        let job = world.get(&path, &ada).await.assert_status(200);
        assert_eq!(job.body["state"], "succeeded", "{}", job.text);
        let denied = world.credential(&bob, asked.job).await.refused(403, "credential_denied");
        handed.push(world.credential(&ada, asked.job).await.assert_status(200).text);
        let runner = world.get(&format!("/runners/{}", asked.runner), &root).await.assert_status(200);
        let texts = [stream.text, job.text, denied.text, runner.text];
        answers.extend(
            texts.into_iter().enumerate().map(|(nth, text)| (format!("answer {nth} of {path}"), text)),
        );
    }
    let waited =
        world.ask("POST", "/runners/jit").by(&ada).header("prefer", "wait=20").json(&provision_body("ci"));
    handed.push(waited.send().await.assert_status(201).text);
    for path in ["/audit-logs", "/admin/security-events", "/jobs", "/runners"] {
        answers.push((path.into(), world.get(path, &root).await.assert_status(200).text));
    }

    // The search itself works: it finds the canary in the handed-out configs.
    assert!(handed.iter().all(|text| traces(&world).iter().any(|trace| text.contains(trace.as_str()))));
    let kept = "SELECT count(*) FROM credentials WHERE ciphertext IS NOT NULL";
    assert_eq!(world.count(kept).await, 6);
    assert_clean(&world, &answers);
    assert_clean(&world, &everywhere(&world).await);
}

#[tokio::test]
async fn tokens_and_keys_are_not_logged() {
    logs::record("trace");
    let world = World::start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.until_final(&ada, asked.job).await;
    let broken = format!("{}x", ada.token);
    let refused = world.get("/auth/me", &broken).await.refused(401, "invalid_token");

    let text: String = everywhere(&world).await.into_iter().map(|(_, text)| text).collect();
    let key: String = world.twin.app_key().unwrap().private_pem().lines().nth(3).unwrap().to_owned();
    let signature = ada.token.rsplit('.').next().unwrap();
    for secret in [key.as_str(), signature, "Bearer ey", "ghs_"] {
        assert!(!text.contains(secret), "{secret}");
        assert!(!refused.text.contains(secret));
    }
}

#[tokio::test]
async fn keys_of_the_api_do_not_open_the_shared_github_token() {
    let world = World::builder().workers(1).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.until_final(&ada, asked.job).await;

    let installation =
        world.twin.ledger().of("POST", "generate-jitconfig").next().unwrap().installation.unwrap();
    let name = format!("github-token:default:{installation}");
    let stored = harness::eventually("a worker shares its token", || async {
        world.queue().shared_get(&name).await.unwrap()
    })
    .await;
    let stored: serde_json::Value = serde_json::from_slice(&stored).unwrap();
    let bytes = |field: &str| serde_json::from_value::<Vec<u8>>(stored[field].clone()).unwrap();
    let sealed = Sealed {
        key_id: stored["key_id"].as_str().unwrap().to_owned(),
        wrapped_key: bytes("wrapped_key"),
        ciphertext: bytes("ciphertext"),
    };
    let expires_at: chrono::DateTime<chrono::Utc> =
        serde_json::from_value(stored["expires_at"].clone()).unwrap();
    let context = format!("installation-token|default|{installation}|{}", expires_at.timestamp());
    // The key id does not matter: the API must not have the key itself.
    let ring = |key: &[u8]| KeyRing::new(&[(sealed.key_id.clone(), key.to_vec().into())]).unwrap();
    assert_eq!(ring(harness::CREDENTIAL_KEY).open(&context, &sealed).unwrap_err(), SealError::Broken);
    let token = ring(harness::TOKEN_KEY).open(&context, &sealed).unwrap();
    assert!(token.expose().starts_with("ghs_"));
}

#[tokio::test]
async fn config_of_an_unknown_key_stays_until_the_key_is_there() {
    let world = World::start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.until_final(&ada, asked.job).await;

    // Workers seal with a key that this API does not know yet.
    world.change("UPDATE credentials SET key_id = 'new' WHERE job_id = $1", asked.job).await;
    let refused = world.credential(&ada, asked.job).await.refused(503, "credential_key_missing");
    assert_eq!(refused.header("retry-after"), "5");
    let metrics = world.request("GET", "/metrics").send().await.assert_status(200).text;
    assert!(metrics.contains("rts_credential_key_missing_total"), "{metrics}");
    assert_eq!(world.count("SELECT count(*) FROM credentials WHERE first_read_at IS NOT NULL").await, 0);

    world.change("UPDATE credentials SET key_id = 'test' WHERE job_id = $1", asked.job).await;
    world.credential(&ada, asked.job).await.assert_status(200);
}

#[tokio::test]
async fn token_of_the_service_has_only_needed_permissions() {
    let world = World::builder().workers(1).start().await;
    world.twin.control().permit(5_151_515, "administration", Some("write")).unwrap();
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.until_final(&ada, asked.job).await;
    let permissions = world.twin.control().token_permissions();
    let all: std::collections::BTreeSet<_> = permissions.iter().flatten().collect();
    let needed = [("actions", "write"), ("organization_self_hosted_runners", "write")];
    assert!(!all.is_empty());
    for (name, level) in all {
        assert!(name == "metadata" || needed.contains(&(name.as_str(), level.as_str())), "{name}: {level}");
    }
}
