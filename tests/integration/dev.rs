//! Tests of `rts dev`: started, ended by each signal, and started again on the data of earlier runs.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use harness::{ApiRequest, Bearer, DevRun, Ending, Printed, World, eventually};
use serde_json::{Value, json};

/// Returns a folder that PostgreSQL's account can reach when the tests run as root.
fn folder() -> PathBuf {
    let path = PathBuf::from(format!("/var/tmp/rts-dev-test-{}", uuid::Uuid::new_v4().simple()));
    fs::create_dir(&path).unwrap();
    path
}

fn start(folder: &Path, changes: &[(&str, &str)]) -> DevRun {
    let data = folder.join("data");
    DevRun::start(folder, &["--data", data.to_str().unwrap()], changes)
}

fn ask(method: &str, url: String, who: &impl Bearer) -> ApiRequest {
    ApiRequest::new(&reqwest::Client::builder().no_proxy().build().unwrap(), method, url).by(who)
}

/// Provisions ten runners in sequence, each handed out while the caller waits.
async fn serves_ten_runners(run: &DevRun) -> Printed {
    let (api, demo) = (run.address("API"), run.token("demo user"));
    for nth in 0..10 {
        let wish = json!({ "runner_name_prefix": "again", "labels": ["linux"] });
        let asked = ask("POST", format!("{api}/runners/jit"), &demo).header("prefer", "wait=25").json(&wish);
        let answer = asked.send().await;
        assert_eq!(answer.status, 201, "runner {nth}: {}\n{}", answer.body, run.printed());
    }
    demo
}

/// Checks that the twin's secrets are readable in the data folder and that only their paths are printed.
async fn keeps_the_secrets_of_the_twin(run: &DevRun) {
    let kept = ["App key", "hook secret"].map(|name| {
        let path = PathBuf::from(run.address(name));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        fs::read_to_string(path).unwrap()
    });
    assert!(
        kept.iter()
            .flat_map(|text| text.lines())
            .all(|line| line.len() < 20 || !run.printed().contains(line))
    );
    let [key, secret] = kept;
    let now = Utc::now().timestamp();
    let claims = json!({ "iss": "424242", "iat": now - 60, "exp": now + 300 });
    let key = jsonwebtoken::EncodingKey::from_rsa_pem(key.as_bytes()).unwrap();
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
    let jwt = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    let client = reqwest::Client::builder().no_proxy().user_agent("test").build().unwrap();
    let app =
        client.get(format!("{}/app", run.address("GitHub twin"))).bearer_auth(jwt).send().await.unwrap();
    assert_eq!(app.status(), 200);
    let ping = br#"{"zen":"Less is easier to carry."}"#;
    let sent = client
        .post(format!("{}/webhooks/github", run.address("API")))
        .header("x-github-event", "ping")
        .header("x-github-delivery", uuid::Uuid::new_v4().to_string())
        .header("x-hub-signature-256", github_twin::signature(&secret, ping))
        .header("content-type", "application/json")
        .body(ping.to_vec());
    assert_eq!(sent.send().await.unwrap().status(), 202);
}

/// Waits until the audit chain has a checkpoint that this run has signed.
async fn extends_the_audit_chain(run: &DevRun, started: DateTime<Utc>) {
    let store = sqlx::PgPool::connect(&run.address("database")).await.unwrap();
    eventually("a checkpoint is signed", || async {
        let newest =
            sqlx::query_scalar("SELECT max(signed_at) FROM audit_checkpoints WHERE signature IS NOT NULL");
        let newest: Option<DateTime<Utc>> = newest.fetch_one(&store).await.unwrap();
        newest.filter(|signed| *signed > started).map(drop)
    })
    .await;
    let alarms = "SELECT count(*) FROM security_events WHERE event_type = 'audit_chain_broken'";
    let alarms: i64 = sqlx::query_scalar(alarms).fetch_one(&store).await.unwrap();
    assert_eq!(alarms, 0);
    store.close().await;
}

/// Leaves damaged files in the data folder, as a killed run or a user might.
fn leave_damaged_files(data: &Path) {
    fs::write(data.join("credential-keys"), "").unwrap();
    fs::write(data.join("pg/postmaster.pid"), format!("{}\n", std::process::id())).unwrap();
    fs::create_dir_all(data.join("pg.draft/base")).unwrap();
    fs::create_dir_all(data.join("redis/appendonlydir")).unwrap();
    fs::write(data.join("redis/appendonlydir/appendonly.aof.manifest"), "nonsense").unwrap();
}

#[tokio::test]
async fn rts_dev_starts_with_any_data_folder() {
    let folder = folder();
    let changes = [("DEFAULT_WAIT_SECONDS", "20"), ("BOOTSTRAP_ADMINS", "demo@example.com")];
    for ending in [Ending::Kill, Ending::Interrupt] {
        let started = Utc::now();
        let mut run = start(&folder, &changes);
        run.ready().await;
        keeps_the_secrets_of_the_twin(&run).await;
        let demo = serves_ten_runners(&run).await;
        let teams = ask("GET", format!("{}/admin/teams", run.address("API")), &demo).send().await;
        assert_eq!(teams.status, 200, "BOOTSTRAP_ADMINS names her: {}", teams.body);
        extends_the_audit_chain(&run, started).await;
        let status = run.end(ending).await;
        assert!(ending == Ending::Kill || status.success(), "{status}");
    }
    let data = folder.join("data");
    let run = start(&folder, &[]);
    eventually("PostgreSQL starts", || {
        std::future::ready(data.join("pg/postmaster.pid").exists().then_some(()))
    })
    .await;
    run.end(Ending::Kill).await;
    let mut run = start(&folder, &[]);
    run.ready().await;
    assert!(run.end(Ending::Terminate).await.success());
    leave_damaged_files(&data);
    let mut run = start(&folder, &[]);
    run.ready().await;
    serves_ten_runners(&run).await;
    assert!(run.end(Ending::Interrupt).await.success());
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn real_github_and_a_database_with_users_are_used_only_when_asked_for() {
    let world = World::builder().workers(0).start().await;
    let user = "INSERT INTO users (id, email, issuer, subject)
        VALUES (gen_random_uuid(), 'ceo@corp.example', 'https://login.corp.example', 'ceo')";
    sqlx::query(user).execute(world.sql()).await.unwrap();
    let settings = [("DATABASE_URL", world.database().url())];
    let mut words = vec!["dev", "--once"];
    for missing in ["--real-github", "--populated-database"] {
        let said = world.command(&words, &settings).await.expect(4);
        assert!(said.stderr.contains(missing), "{}", said.stderr);
        assert_eq!(world.count("SELECT count(*) FROM users").await, 1, "nothing was added");
        words.push(missing);
    }
    world.command(&words, &settings).await.expect(0);
    assert_eq!(world.twin.runners().len(), 1);
}

#[tokio::test]
async fn development_issuer_names_only_endpoints_it_has() {
    let issuer = dev_issuer::Issuer::start(dev_issuer::IssuerConfig::default()).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let document = client.get(format!("{}/.well-known/openid-configuration", issuer.url())).send().await;
    let document: Value = document.unwrap().json().await.unwrap();
    let endpoints: Vec<&str> = document
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri")
        .filter_map(|(_, url)| url.as_str())
        .collect();
    assert!(endpoints.len() >= 3, "{document}");
    for url in endpoints {
        assert_ne!(client.get(url).send().await.unwrap().status(), 404, "{url}");
    }
}
