//! Lists and single things in every format.

use std::{process::Stdio, time::Duration};

use harness::{World, provision_body};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    time::timeout,
};

use super::Scene;

#[tokio::test]
async fn runners_are_listed_in_every_format() {
    let scene = Scene::new().await;
    for _ in 0..3 {
        let asked = scene.world.provision(&scene.ada, provision_body("ci")).await;
        scene.world.until_final(&scene.ada, asked.job).await;
    }
    let list = async |words: &[&str]| {
        let words = [&["runner", "list"], words].concat();
        scene.run(&scene.ada, &words).await.expect(0)
    };
    let table = list(&[]).await;
    assert!(table.stdout.starts_with("RUNNER") && table.stdout.contains("pending"), "{}", table.stdout);
    assert!(!table.stdout.contains('\u{1b}') && !table.stderr.contains('\u{1b}'), "{table:?}");
    assert_eq!((table.stdout.lines().count(), table.stderr.as_str()), (4, "3 of 3\n"));

    let all = list(&["-o", "json"]).await.json();
    let all = all.as_array().unwrap();
    let names = list(&["-o", "name"]).await.stdout;
    let ids: Vec<&str> = all.iter().map(|row| row["runner_id"].as_str().unwrap()).collect();
    assert_eq!(names.lines().collect::<Vec<_>>(), ids);
    let lines = list(&["-o", "jsonl", "--limit", "2"]).await.stdout;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, all[..2]);
    assert!(list(&["-o", "wide"]).await.stdout.contains("ada@example.com"));
    assert_eq!(list(&["--status", "offline", "-o", "json"]).await.stdout, "[]\n");
    assert_eq!(list(&["--team", "red", "-o", "name"]).await.stdout.lines().count(), 3);
}

#[tokio::test]
async fn pages_are_followed_to_the_end() {
    let scene = Scene::new().await;
    let rows = "INSERT INTO audit_log (id, event_type, user_identity, success)
        SELECT gen_random_uuid(), 'runner.provision', 'eve', true FROM generate_series(1, 2300)";
    sqlx::query(rows).execute(scene.world.sql()).await.unwrap();
    let admin = scene.world.admin().await;
    let words = ["audit", "list", "--user", "eve", "--all", "-o", "name"];
    let listed = scene.run(&admin, &words).await.expect(0).stdout;
    let mut ids: Vec<&str> = listed.lines().collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2300, "each row once");
    let words = ["audit", "export", "--user", "eve", "--file", "audit.jsonl"];
    let said = scene.run(&admin, &words).await.expect(0);
    assert!(said.stderr.contains("2300 rows"), "{}", said.stderr);
    let written = std::fs::read_to_string(scene.world.folder().join("audit.jsonl")).unwrap();
    assert_eq!(written.lines().count(), 2300);
    scene.run(&admin, &words).await.expect(1);
    let words = ["audit", "export", "--user", "eve", "--file", "audit.csv", "--format", "csv"];
    scene.run(&admin, &words).await.expect(0);
    let written = std::fs::read_to_string(scene.world.folder().join("audit.csv")).unwrap();
    assert_eq!(written.lines().count(), 2301, "a header and the rows");
    let words = ["audit", "export", "--until", "1h", "--file", "old.json", "--format", "json"];
    scene.run(&admin, &words).await.expect(0);
    let written = std::fs::read_to_string(scene.world.folder().join("old.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), serde_json::json!([]));
    let words = ["call", "GET", "/audit-logs", "-f", "limit=1", "-f", "event_type=runner.provision"];
    let page = scene.run(&admin, &words).await.expect(0).json();
    assert_eq!(page["logs"].as_array().unwrap().len(), 1);
    let words = ["call", "GET", "/api/v1/audit-logs?limit=1000&user=eve", "--paginate"];
    assert_eq!(scene.run(&admin, &words).await.expect(0).stdout.lines().count(), 2300);
}

#[tokio::test]
async fn one_thing_is_shown_by_name_or_id() {
    let scene = Scene::new().await;
    let asked = scene.world.provision(&scene.ada, provision_body("ci")).await;
    let job = scene.world.until_final(&scene.ada, asked.job).await;
    let name = job["runner_name"].as_str().unwrap();
    let shown = scene.run(&scene.ada, &["runner", "show", name]).await.expect(0);
    assert!(shown.stdout.contains(name) && shown.stdout.contains("transitions:"), "{}", shown.stdout);
    let id = job["runner_id"].as_str().unwrap();
    let shown = scene.run(&scene.ada, &["runner", "show", id, "-o", "json"]).await.expect(0).json();
    assert_eq!(shown["runner_name"], *name);
    let job = asked.job.to_string();
    let shown = scene.run(&scene.ada, &["job", "show", &job]).await.expect(0);
    assert!(shown.stdout.contains("succeeded"), "{}", shown.stdout);
    let unknown = scene.run(&scene.ada, &["runner", "show", "no-such"]).await.expect(4);
    assert!(unknown.stderr.contains("no-such"), "{}", unknown.stderr);
    let team = scene.run(&scene.ada, &["team", "show", "RED", "-o", "json"]).await.expect(0).json();
    assert_eq!(team["name"], "red");
    let me = scene.run(&scene.ada, &["whoami"]).await.expect(0);
    assert!(me.stdout.contains("ada@example.com") && me.stderr.contains("RTS_TOKEN"), "{me:?}");
    assert_eq!(scene.run(&scene.ada, &["token"]).await.expect(0).stdout.trim(), scene.ada.token);
}

#[tokio::test]
async fn machine_client_lists_what_is_its_teams() {
    let scene = Scene::new().await;
    let ci = scene.world.machine("ci", &scene.red).await;
    let teams = scene.run(&ci, &["team", "list", "--mine", "-o", "name"]).await.expect(0);
    assert_eq!(teams.stdout, "red\n");
    scene.run(&ci, &["job", "list"]).await.expect(0);
    let refused = scene.run(&ci, &["user", "list", "--error-format", "json"]).await.expect(4);
    let problem: Value = serde_json::from_str(&refused.stderr).unwrap();
    assert_eq!((problem["status"].as_u64(), problem["code"].as_str()), (Some(403), Some("admin_required")));
}

#[tokio::test]
async fn every_overview_of_an_admin_answers() {
    let scene = Scene::new().await;
    let admin = scene.world.admin().await;
    for words in [
        "lane list",
        "worker list",
        "budget",
        "sync status",
        "unmanaged list",
        "versions",
        "security list",
        "audit list",
        "event-delivery list",
        "event-delivery status",
        "user list",
        "client list",
        "team list",
        "job list",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let table = scene.run(&admin, &words).await.expect(0);
        assert!(
            table.stdout.lines().next().is_some_and(|line| line == line.to_uppercase()),
            "{}",
            table.stdout
        );
        let json = scene.run(&admin, &[&words[..], &["-o", "json"]].concat()).await.expect(0).json();
        assert!(json.is_array(), "{words:?}");
    }
}

#[tokio::test]
async fn shells_complete_live_values() {
    let scene = Scene::new().await;
    let complete = async |words: &[&str]| {
        let words = [&["--", "rts"], words].concat();
        scene.run_with(&scene.ada, &words, &[("COMPLETE", "fish")]).await.expect(0).stdout
    };
    assert!(complete(&["runner", "re"]).await.contains("refresh"));
    // A busy machine may take longer than a shell waits; the next try has the values.
    harness::wait_until("the team is offered", || async {
        complete(&["team", "show", ""]).await.contains("red")
    })
    .await;
    let script = scene.run("", &["completions", "bash"]).await.expect(0).stdout;
    assert!(script.contains("COMPLETE") && script.contains("rts"), "{script}");
}

#[tokio::test]
async fn manual_pages_are_written_for_every_command() {
    let scene = Scene::new().await;
    scene.run("", &["man", "pages"]).await.expect(0);
    let page = |name: &str| std::fs::read_to_string(scene.world.folder().join("pages").join(name)).unwrap();
    assert!(page("rts.1").contains("runner") && page("rts-runner-list.1").contains("status"));
}

#[tokio::test]
async fn board_is_printed_once_where_there_is_no_terminal() {
    let scene = Scene::new().await;
    let admin = scene.world.admin().await;
    let board = scene.run(&admin, &["top"]).await.expect(0).stdout;
    assert!(board.contains("LANES (3)") && board.contains("BUDGETS"), "{board}");
    assert!(!board.contains('\u{1b}'), "{board}");
    scene.run(&scene.ada, &["top"]).await.expect(4);
}

#[tokio::test]
async fn budgets_are_printed_once_for_each_change_where_there_is_no_terminal() {
    let scene = Scene::new().await;
    let admin = scene.world.admin().await;
    let mut command = tokio::process::Command::new(scene.world.rts());
    command.args(["budget", "--watch", "--interval", "1s", "-o", "jsonl"]).env_clear();
    command.envs(scene.world.caller_environment(&admin.token));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut running = command.spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let mut next = async || -> Value {
        let line = timeout(Duration::from_mins(1), lines.next_line()).await.expect("a block");
        serde_json::from_str(&line.unwrap().unwrap()).unwrap()
    };
    assert_eq!(next().await["pauses"], serde_json::json!([]));
    let pause = serde_json::json!({ "seconds": 600, "reason": "a test" });
    let paused = scene.world.post("/admin/installations/default/pause", &admin, &pause).await;
    assert!(paused.status < 300, "{}", paused.text);
    // The end of the pause comes nearer with each look, which is no change.
    assert_eq!(next().await["pauses"][0]["reason"], "admin");
    scene.world.post("/admin/installations/default/resume", &admin, &serde_json::json!({})).await;
    assert_eq!(next().await["pauses"], serde_json::json!([]));
    drop(lines);
    running.kill().await.unwrap();
    scene.run(&scene.ada, &["budget", "--watch"]).await.expect(4);
    scene.run(&admin, &["budget", "--interval", "1s"]).await.expect(2);
}

#[tokio::test]
async fn runners_are_found_by_label_and_age() {
    let scene = Scene::of(World::builder().workers(0).start().await).await;
    for label in ["gpu-1", "gpu-2"] {
        scene.run(&scene.ada, &["provision", "--label", label, "--no-wait"]).await.expect(0);
    }
    let found = async |words: &[&str]| {
        let listed =
            scene.run(&scene.ada, &[&["runner", "list", "-o", "name"], words].concat()).await.expect(0);
        listed.stdout.lines().count()
    };
    assert_eq!((found(&["--label", "gpu-1"]).await, found(&["--label", "gpu-3"]).await), (1, 0));
    assert_eq!((found(&["--older", "0s"]).await, found(&["--older", "1h"]).await), (2, 0));
}

#[tokio::test]
async fn lists_are_narrowed_by_every_filter() {
    let scene = Scene::new().await;
    let (world, ada) = (&scene.world, &scene.ada);
    let admin = world.admin().await;
    let job = world.provision(ada, provision_body("ci")).await.job;
    world.until_final(ada, job).await;
    let refused = serde_json::json!({ "runner_name_prefix": "ci", "labels": ["forbidden"] });
    world.jit(ada, &refused).await.assert_status(403);
    let lines = async |words: &str| -> usize {
        let words: Vec<&str> = words.split(' ').chain(["-o", "name"]).collect();
        scene.run(&admin, &words).await.expect(0).stdout.lines().count()
    };
    for (words, count) in [
        ("job list --user ada@example.com --since 1h", 1),
        ("job list --user ada@example.com --until 1h", 0),
        ("job list --error github_refused", 0),
        ("job list --installation default", 1),
        ("job list --worker nobody", 0),
        ("user list --search ADA", 1),
        ("user list --search nobody", 0),
        ("team list --search re", 1),
        ("client list --search nobody", 0),
        ("team history red --event-type runner.provision --success false", 1),
        ("team history red --until 2026-01-01T00:00:00Z", 0),
        ("audit list --event-type runner.provision --success true --since 1h", 1),
        ("security list --since 1h", 1),
        ("security list --until 1h", 0),
    ] {
        assert_eq!(lines(words).await, count, "{words}");
    }
    let event = scene.run(&admin, &["security", "list", "-o", "json"]).await.expect(0).json();
    let id = event[0]["id"].as_str().unwrap();
    let shown = scene.run(&admin, &["security", "show", id, "-o", "json"]).await.expect(0).json();
    assert_eq!(shown, event[0]);
    scene.run(&admin, &["security", "show", &uuid::Uuid::nil().to_string()]).await.expect(4);
    let said = scene.run(&admin, &["job", "list", "--since", "yesterday"]).await.expect(2);
    assert!(said.stderr.contains("a time such as"), "{}", said.stderr);
}

#[tokio::test]
async fn member_exports_the_rows_of_their_teams() {
    let scene = Scene::new().await;
    scene.world.provision(&scene.ada, provision_body("ci")).await;
    scene.world.admin().await;
    let words = ["audit", "export", "--file", "own.jsonl"];
    scene.run(&scene.ada, &words).await.expect(0);
    let written = std::fs::read_to_string(scene.world.folder().join("own.jsonl")).unwrap();
    assert!(written.contains("runner.provision") && !written.contains("root@example.com"), "{written}");
    let words = ["audit", "export", "--file", "own.csv", "--format", "csv"];
    let said = scene.run(&scene.ada, &words).await.expect(2);
    assert!(said.stderr.contains("--format jsonl"), "{}", said.stderr);
    assert!(!scene.world.folder().join("own.csv").exists(), "an empty file could be taken for the log");
}
