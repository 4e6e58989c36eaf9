//! `rts doctor` and `GET /admin/doctor`, against each fault they claim to find.

mod faults;

use std::{fs, os::unix::fs::PermissionsExt};

use harness::{Output, World};
use serde_json::{Value, json};

/// GitHub's id of the twin's first installation.
const INSTALLATION: u64 = 5_151_515;

/// Runs the doctor. Returns its exit code and its findings.
async fn examine(world: &World, words: &[&str], changes: &[(&str, &str)]) -> (i32, Vec<Value>) {
    let words = [&["doctor", "-o", "json"], words].concat();
    let said: Output = world.command(&words, changes).await;
    let code = said.code.unwrap();
    assert!(code == 0 || code == 7, "{said:?}");
    (code, said.json().as_array().unwrap().clone())
}

/// Checks that exactly one finding is not `ok`, has this level and group, names this text and says how to repair it.
#[track_caller]
fn only(findings: &[Value], level: &str, group: &str, text: &str) {
    let of_level: Vec<_> = findings.iter().filter(|finding| finding["level"] == level).collect();
    let found = of_level.iter().find(|finding| {
        finding["group"] == group && finding["detail"].as_str().is_some_and(|detail| detail.contains(text))
    });
    let found = found.unwrap_or_else(|| panic!("no {level} {group} {text}: {findings:#?}"));
    assert!(found["repair"].as_str().is_some_and(|repair| repair.ends_with('.')), "{found}");
    assert!(level != "fail" || of_level.len() == 1, "{findings:#?}");
}

async fn healthy() -> World {
    let world = World::builder().scheduler().start().await;
    harness::wait_until("the queue is marked and a worker beats", || async {
        world.queue().epoch().await.is_ok_and(|epoch| epoch.is_some())
            && world.count("SELECT count(*) FROM workers").await == 1
            && world.count("SELECT count(*) FROM scheduler_leases WHERE expires_at > now()").await == 1
    })
    .await;
    world
}

#[tokio::test]
async fn healthy_service_has_no_fault() {
    let world = healthy().await;
    let (code, findings) = examine(&world, &[], &[]).await;
    assert_eq!(code, 0, "{findings:#?}");
    for group in ["settings", "clock", "postgres", "redis", "issuers", "github", "processes"] {
        let good = |finding: &&Value| finding["group"] == group && finding["level"] == "ok";
        assert!(findings.iter().any(|finding| good(&finding)), "{group}: {findings:#?}");
    }
    let table = world.command(&["doctor", "--only", "github"], &[]).await.expect(0);
    assert!(
        table.stdout.lines().all(|line| line.contains("github") || line.starts_with(' ')),
        "{}",
        table.stdout
    );
}

#[tokio::test]
async fn processes_that_do_not_run_are_found() {
    let world = healthy().await;
    let old = "INSERT INTO workers (name, version, concurrency, running) VALUES ('old', '0.0.1', 1, 0)";
    sqlx::query(old).execute(world.sql()).await.unwrap();
    let (code, findings) = examine(&world, &["--only", "versions"], &[]).await;
    only(&findings, "warn", "versions", "0.0.1");
    assert_eq!(code, 0, "a warning is no fault");

    let idle = World::builder().workers(0).start().await;
    let (code, findings) = examine(&idle, &["--only", "processes", "--only", "redis"], &[]).await;
    assert_eq!(code, 7);
    let faults: Vec<_> = findings.iter().filter(|finding| finding["level"] == "fail").collect();
    for text in ["no worker", "no scheduler", "never filled"] {
        assert!(
            faults.iter().any(|fault| fault["detail"].as_str().unwrap().contains(text)),
            "{text}: {faults:#?}"
        );
    }
    for (name, repositories) in [("red", "octo/red"), ("blue", "octo/blue")] {
        let team = harness::team_draft(name);
        idle.team(store::TeamDraft { allowed_repositories: vec![repositories.to_owned()], ..team }).await;
    }
    let (code, findings) = examine(&idle, &["--only", "teams"], &[]).await;
    only(&findings, "warn", "teams", "admit different repositories: blue, red");
    assert_eq!(code, 0);
    idle.command(&["sync-github"], &[]).await.expect(0);
    let held = "UPDATE sync_status SET removals_held = 7";
    sqlx::query(held).execute(idle.sql()).await.unwrap();
    let (code, findings) = examine(&idle, &["--only", "sync"], &[]).await;
    only(&findings, "warn", "sync", "7 removals");
    assert_eq!(code, 0);
    let set = "UPDATE sync_status SET removals_held = 0, last_sync_result = 'failed', last_sync_error = 'GitHub refused'";
    sqlx::query(set).execute(idle.sql()).await.unwrap();
    let (_, findings) = examine(&idle, &["--only", "sync"], &[]).await;
    only(&findings, "fail", "sync", "GitHub refused");
}

#[tokio::test]
async fn servers_that_are_away_or_unfit_are_found() {
    let world = healthy().await;
    let none = [("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")];
    let (_, findings) = examine(&world, &["--only", "postgres"], &none).await;
    only(&findings, "fail", "postgres", "cannot be used");
    let (_, findings) = examine(&world, &["--only", "redis"], &[("REDIS_URL", "redis://127.0.0.1:1")]).await;
    only(&findings, "fail", "redis", "cannot be used");
    let empty = harness::empty().await;
    let (_, findings) = examine(&world, &["--only", "postgres"], &[("DATABASE_URL", empty.url())]).await;
    only(&findings, "fail", "postgres", "no tables");
    empty.remove().await;
    let (code, findings) =
        examine(&world, &["--only", "postgres"], &[("DATABASE_URL", world.database().url())]).await;
    only(&findings, "warn", "postgres", "owner of the tables");
    assert_eq!(code, 0);
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)")
        .execute(world.sql())
        .await
        .unwrap();
    let (_, findings) = examine(&world, &["--only", "postgres"], &[]).await;
    only(&findings, "fail", "postgres", "1 migrations");
}

#[tokio::test]
async fn wrong_settings_and_files_are_found_together() {
    let world = healthy().await;
    let wrong = [("SERVICE_PORT", "http"), ("CREDENTIAL_KEYS", "short")];
    let (code, findings) = examine(&world, &["--only", "settings"], &wrong).await;
    assert_eq!((code, findings.len()), (7, 2), "{findings:#?}");
    assert!(!findings.iter().any(|finding| finding.to_string().contains("short")), "a secret is not quoted");
    let key = world.folder().join("key.pem");
    fs::write(&key, "not a key").unwrap();
    fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let path = [("GITHUB_APP_PRIVATE_KEY_PATH", key.to_str().unwrap())];
    let (_, findings) = examine(&world, &["--only", "files"], &path).await;
    only(&findings, "fail", "files", "not an RSA key");
    fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    let (code, findings) = examine(&world, &["--only", "files", "--only", "settings"], &path).await;
    assert_eq!(code, 7, "{findings:#?}");
    let named = |finding: &Value| finding["detail"].to_string().contains("GITHUB_APP_PRIVATE_KEY_PATH");
    assert!(findings.iter().any(named), "{findings:#?}");
}

#[tokio::test]
async fn faults_of_issuers_and_tokens_are_found() {
    let world = healthy().await;
    let issuer = format!("{}/", world.issuer().url());
    let (_, findings) = examine(&world, &["--only", "issuers"], &[("OIDC_ISSUER", &issuer)]).await;
    only(&findings, "fail", "issuers", "cannot be fetched");
    let away = [("OIDC_ISSUER", "http://127.0.0.1:1")];
    let (_, findings) = examine(&world, &["--only", "issuers"], &away).await;
    only(&findings, "fail", "issuers", "cannot be fetched");
    let token = world.token(&json!({ "sub": "ada" }));
    fs::write(world.folder().join("token"), token).unwrap();
    let words = ["--only", "issuers", "--token-file", "token"];
    let (code, findings) = examine(&world, &words, &[]).await;
    assert_eq!(code, 0, "{findings:#?}");
    let (_, findings) = examine(&world, &words, &[("OIDC_AUDIENCE", "another")]).await;
    only(&findings, "fail", "issuers", "audience");
}

#[tokio::test]
async fn faults_of_the_app_are_found() {
    let world = healthy().await;
    let only_github = ["--only", "github"];
    let (_, findings) = examine(&world, &only_github, &[("GITHUB_ORG", "other-org")]).await;
    only(&findings, "fail", "github", "the settings name other-org");
    let (_, findings) = examine(&world, &only_github, &[("GITHUB_APP_INSTALLATION_ID", "999999")]).await;
    assert!(
        findings.iter().any(|finding| finding["detail"].to_string().contains("no such installation")),
        "{findings:#?}"
    );
    let (_, findings) = examine(&world, &only_github, &[("GITHUB_APP_ID", "999999")]).await;
    assert!(
        findings.iter().any(|finding| finding["detail"].to_string().contains("refuses the App's key")),
        "{findings:#?}"
    );
    let (_, findings) = examine(&world, &only_github, &[("GITHUB_API_URL", "http://127.0.0.1:1")]).await;
    assert!(
        findings.iter().any(|finding| finding["repair"].to_string().contains("reach GITHUB_API_URL")),
        "{findings:#?}"
    );

    let twin = world.twin.control();
    twin.permit(INSTALLATION, "organization_self_hosted_runners", None).unwrap();
    let (_, findings) = examine(&world, &only_github, &[]).await;
    assert!(
        findings
            .iter()
            .any(|finding| finding["detail"].to_string().contains("organization_self_hosted_runners: write")),
        "{findings:#?}"
    );
    twin.permit(INSTALLATION, "organization_self_hosted_runners", Some("write")).unwrap();
    twin.permit(INSTALLATION, "contents", Some("read")).unwrap();
    let (_, findings) = examine(&world, &only_github, &[]).await;
    only(&findings, "warn", "github", "contents");
    twin.suspend(INSTALLATION, true).unwrap();
    let (code, findings) = examine(&world, &only_github, &[]).await;
    assert_eq!(code, 7);
    assert!(
        findings.iter().any(|finding| finding["detail"].to_string().contains("GitHub has suspended it")),
        "{findings:#?}"
    );
}

#[tokio::test]
async fn api_reports_what_it_can_know_to_admins() {
    let world = healthy().await;
    let admin = world.admin().await;
    let report = world.get("/admin/doctor", &admin).await.assert_status(200).body;
    assert_ne!(report["level"], "fail", "{report}");
    assert_eq!(report["only_on_server"], json!(["settings", "files", "github"]));
    let team = world.team(harness::team_draft("red")).await;
    let ada = world.user("ada", &[&team]).await;
    world.get("/admin/doctor", &ada).await.refused(403, "admin_required");
    let idle = World::builder().workers(0).start().await;
    let admin = idle.admin().await;
    let report = idle.get("/admin/doctor", &admin).await.assert_status(200).body;
    assert_eq!(report["level"], "fail");
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["detail"] == "no scheduler leads"), "{report}");
}
