//! Changes of an admin over the API.

use serde_json::json;

use super::Scene;

#[tokio::test]
async fn teams_people_and_clients_are_set_up_and_taken_away() {
    let scene = Scene::new().await;
    let admin = scene.world.admin().await;
    let run = async |words: &[&str]| scene.run(&admin, words).await;
    let words = ["team", "create", "web", "--label", "web", "--pattern", "glob:gpu-*", "--max-runners", "5"];
    let web = run(&[&words[..], &["-o", "json"]].concat()).await.expect(0).json();
    assert_eq!(web["optional_label_patterns"], json!(["glob:gpu-*"]));
    run(&words).await.expect(4);
    let edited = run(&["team", "edit", "web", "--max-runners", "9", "-o", "json"]).await.expect(0).json();
    assert_eq!((&edited["max_runners"], &edited["required_labels"]), (&json!(9), &json!(["web"])));
    run(&["team", "edit", "web"]).await.expect(2);

    run(&["user", "add", "--email", "new@example.com"]).await.expect(0);
    run(&["team", "members", "add", "web", "new@example.com"]).await.expect(0);
    let members = run(&["team", "members", "list", "web"]).await.expect(0).stdout;
    assert!(members.contains("new@example.com"), "{members}");
    run(&["team", "members", "remove", "web", "new@example.com"]).await.expect(2);
    run(&["team", "members", "remove", "web", "new@example.com", "--yes"]).await.expect(0);
    let edited =
        ["user", "edit", "NEW@example.com", "--jit", "false", "--reason", "no runners", "-o", "json"];
    assert_eq!(run(&edited).await.expect(0).json()["can_use_jit"], false);
    run(&["user", "deactivate", "new@example.com", "--reason", "left", "--yes"]).await.expect(0);
    let reason = "SELECT count(*) FROM audit_log WHERE event_type = 'user.deactivate' AND event_data ->> 'comment' = 'left'";
    assert_eq!(scene.count(reason).await, 1);
    run(&["user", "activate", "new@example.com"]).await.expect(0);

    run(&[
        "client",
        "add",
        "web-ci",
        "--team",
        "web",
        "--subject",
        "repo:acme/web:*",
        "--claim",
        "repository_owner_id=1",
    ])
    .await
    .expect(0);
    let shown = run(&["client", "show", "web-ci", "-o", "json"]).await.expect(0).json();
    assert_eq!(shown["rule"]["claims"]["repository_owner_id"], "1");
    for active in ["false", "true"] {
        let words = ["client", "edit", "web-ci", "--active", active, "-o", "json"];
        assert_eq!(run(&words).await.expect(0).json()["is_active"].to_string(), active);
    }
    run(&["client", "remove", "web-ci"]).await.expect(2);
    run(&["client", "remove", "web-ci", "--yes", "--reason", "leaked"]).await.expect(0);
    run(&["client", "show", "web-ci"]).await.expect(4);

    run(&["team", "deactivate", "web", "--yes"]).await.expect(2);
    run(&["team", "deactivate", "web", "--yes", "--reason", "moved"]).await.expect(0);
    run(&["team", "reactivate", "web"]).await.expect(0);
    assert_eq!(scene.count("SELECT count(*) FROM teams WHERE name = 'web' AND is_active").await, 1);
}

#[tokio::test]
async fn person_is_signed_out_of_one_browser_and_of_all() {
    let scene = Scene::new().await;
    let admin = scene.world.admin().await;
    let browsers = [
        scene.world.sign_in(&scene.ada).await,
        scene.world.sign_in(&scene.ada).await,
        scene.world.sign_in(&scene.ada).await,
    ];
    let run = async |words: &[&str]| {
        scene.run(&admin, &[&["user", "sessions", "ada@example.com"], words].concat()).await
    };
    let table = run(&[]).await.expect(0);
    assert!(table.stdout.starts_with("SESSION") && table.stdout.lines().count() == 4, "{}", table.stdout);
    let names = run(&["-o", "name"]).await.expect(0).stdout;
    let newest = names.lines().next().unwrap();
    run(&["--end", newest]).await.expect(2);
    run(&["--end", newest, "--end-all", "--yes"]).await.expect(2);
    let said = run(&["--reason", "a lost laptop"]).await.expect(2);
    assert!(said.stderr.contains("--end-all"), "{}", said.stderr);
    run(&["--end", newest, "--reason", "a lost laptop", "--yes"]).await.expect(0);
    run(&["--end", newest, "--yes"]).await.expect(4);
    let said = run(&["--end-all", "--reason", "a lost laptop", "--yes"]).await.expect(0);
    assert_eq!(said.stdout, "2 sessions of ada@example.com have ended\n");
    for browser in &browsers {
        assert_eq!(browser.get("/sessions").await.status, 303);
    }
    assert_eq!(run(&["--end-all", "--yes", "-o", "json"]).await.expect(0).json()["ended_count"], 0);
    let reason = "SELECT count(*) FROM audit_log WHERE event_type = 'session.end' AND event_data ->> 'comment' = 'a lost laptop'";
    assert_eq!(scene.count(reason).await, 2);
    scene.run(&scene.ada, &["user", "sessions", "ada@example.com"]).await.expect(4);
}

#[tokio::test]
async fn nothing_changes_without_consent_where_no_question_can_be_asked() {
    let scene = Scene::new().await;
    let admin = scene.world.admin().await;
    for words in [
        &["user", "deactivate", "ada@example.com"][..],
        &["user", "unbind", "ada@example.com"],
        &["user", "sessions", "ada@example.com", "--end-all"],
        &["team", "deactivate", "red", "--reason", "x"],
        &["runner", "remove", "0192f0c4-0000-7000-8000-000000000000"],
    ] {
        let said = scene.run(&admin, words).await.expect(2);
        assert!(said.stderr.contains("--yes"), "{}", said.stderr);
    }
    assert_eq!(scene.count("SELECT count(*) FROM users WHERE NOT is_active").await, 0);
    let none = scene.run(&admin, &["sync", "confirm-removals", "--yes"]).await.expect(4);
    assert!(none.stderr.contains("no removals"), "{}", none.stderr);
}

#[tokio::test]
async fn lanes_are_paused_and_syncs_asked_for() {
    let scene = Scene::new().await;
    let admin = scene.world.admin().await;
    scene.run(&admin, &["lane", "pause", "drift", "--for", "15m"]).await.expect(0);
    let lanes = scene.run(&admin, &["lane", "list"]).await.expect(0);
    assert!(lanes.stderr.contains("lane drift is paused"), "{}", lanes.stderr);
    scene.run(&admin, &["lane", "resume", "drift"]).await.expect(0);
    assert!(!scene.run(&admin, &["lane", "list"]).await.expect(0).stderr.contains("paused"));
    scene.run(&admin, &["lane", "pause", "nothing", "--for", "1m"]).await.expect(2);
    scene.run(&admin, &["sync", "now"]).await.expect(0);
    assert_eq!(scene.count("SELECT count(*) FROM sync_status WHERE triggered_at IS NOT NULL").await, 1);
    scene.run(&scene.ada, &["sync", "now"]).await.expect(4);
}

#[tokio::test]
async fn runners_are_checked_and_removed() {
    let scene = Scene::new().await;
    let mut names = Vec::new();
    for _ in 0..2 {
        let asked = scene.world.provision(&scene.ada, harness::provision_body("ci")).await;
        let job = scene.world.until_final(&scene.ada, asked.job).await;
        names.push(job["runner_name"].as_str().unwrap().to_owned());
    }
    scene.run(&scene.ada, &["runner", "refresh", &names[0], "--wait"]).await.expect(0);
    let words = ["runner", "remove", &names[0], "no-such", &names[1], "--wait", "--yes"];
    let said = scene.run(&scene.ada, &words).await.expect(4);
    assert!(said.stderr.contains("no-such"), "{}", said.stderr);
    assert_eq!(said.stdout.lines().filter(|line| line.ends_with("is removed")).count(), 2, "{}", said.stdout);
    assert_eq!(scene.count("SELECT count(*) FROM runners WHERE status = 'deleted'").await, 2);
}

#[tokio::test]
async fn state_is_one_sentence_with_a_code() {
    let scene = Scene::of(harness::World::builder().scheduler().start().await).await;
    let admin = scene.world.admin().await;
    harness::wait_until("jobs move", || async { scene.run(&admin, &["status"]).await.code == Some(0) }).await;
    let idle = Scene::of(harness::World::builder().workers(0).start().await).await;
    let member = scene.run(&scene.ada, &["status"]).await.expect(0);
    assert_eq!(member.stdout, "New runners start at once.\n");
    let admin = idle.world.admin().await;
    let job = idle.world.provision(&idle.ada, harness::provision_body("ci")).await.job.to_string();
    harness::wait_until("no worker is seen", || async {
        idle.run(&admin, &["status"]).await.code == Some(3)
    })
    .await;
    let state = idle.run(&admin, &["status", "-o", "json"]).await.expect(3).json();
    assert_eq!(state["level"], "stopped");
    harness::wait_until("a member is told", || async {
        idle.run(&idle.ada, &["status"]).await.code == Some(3)
    })
    .await;
    let expire = "UPDATE jobs SET state = 'expired', finished_at = now(), error = '{\"code\":\"job_expired\",\"detail\":\"late\"}'";
    sqlx::query(expire).execute(idle.world.sql()).await.unwrap();
    let failures = idle.run(&admin, &["failures"]).await.expect(0).stdout;
    assert!(failures.contains("job_expired"), "{failures}");
    idle.run(&admin, &["job", "discard", &job, "--reason", "a test"]).await.expect(0);
    idle.run(&admin, &["job", "discard", &job]).await.expect(4);
    idle.run(&admin, &["worker", "drain", "no-such"]).await.expect(4);
}
