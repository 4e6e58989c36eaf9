//! Teams files by command: tested, compared, applied and exported.

use std::{fs, path::PathBuf};

use harness::{Output, Person, World};
use serde_json::{Value, json};
use store::UserDraft;

use super::Scene;

fn example() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/teams.yaml").to_owned()
}

/// Writes a file into the world's folder and returns its path.
fn write(world: &World, name: &str, text: &str) -> PathBuf {
    let path = world.folder().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

async fn admin_scene() -> (Scene, Person) {
    let scene = Scene::of(World::builder().workers(0).start().await).await;
    let root = scene.world.admin().await;
    (scene, root)
}

/// Runs `rts policy test` without a service.
async fn test_policy(world: &World, path: &str) -> Output {
    world.command(&["policy", "test", path], &[]).await
}

#[tokio::test]
async fn example_is_tested_compared_applied_and_exported() {
    let (scene, root) = admin_scene().await;
    let path = example();
    let tested = test_policy(&scene.world, &path).await.expect(0);
    assert_eq!(tested.stdout.lines().filter(|line| line.starts_with("ok ")).count(), 5, "{}", tested.stdout);

    let file = ["-f", &path];
    let run = async |words: &[&str]| scene.run(&root, words).await;
    let differences = run(&[&["diff"], &file[..]].concat()).await.expect(7);
    assert!(differences.stdout.contains("+ member grace@example.com of web"), "{}", differences.stdout);
    assert_eq!(scene.count("SELECT count(*) FROM teams WHERE name = 'web'").await, 0);
    run(&[&["apply", "--dry-run"], &file[..]].concat()).await.expect(7);
    let unasked = run(&[&["apply"], &file[..]].concat()).await.expect(2);
    assert!(unasked.stderr.contains("--yes"), "{}", unasked.stderr);
    run(&[&["apply", "--yes", "--reason", "first setup"], &file[..]].concat()).await.expect(0);
    let reason = "SELECT count(*) FROM audit_log WHERE event_type = 'files.apply' AND event_data ->> 'comment' = 'first setup'";
    assert_eq!(scene.count(reason).await, 1);
    let same = run(&[&["diff", "--prune"], &file[..]].concat()).await.expect(0);
    assert!(same.stderr.contains("Nothing to change"), "{}", same.stderr);

    let exported = run(&["export", "teams"]).await.expect(0).stdout;
    let exported = write(&scene.world, "exported.yaml", &exported);
    let exported = ["-f", exported.to_str().unwrap()];
    run(&[&["apply", "--yes"], &exported[..]].concat()).await.expect(0);
    run(&[&["diff"], &exported[..]].concat()).await.expect(0);
    run(&["export", "teams", "-o", "json"]).await.expect(0).json();
    let schema = run(&["schema", "teams"]).await.expect(0).json();
    assert_eq!(schema, api::teams_schema());
}

#[tokio::test]
async fn faults_are_named_by_file_line_and_column() {
    let (scene, root) = admin_scene().await;
    let world = &scene.world;
    for (text, fault) in [
        ("teams:\n  - name: web\n   bad: [\n", "bad.yaml:3:"),
        (
            "teams:\n  - name: web\n    max_runer: 3\n",
            "bad.yaml:3:5: unknown field `max_runer`; did you mean `max_runners`?",
        ),
        (
            "teams:\n  - name: web\n    max_runners: many\n",
            "bad.yaml:3:5: invalid type: string \"many\", expected an integer",
        ),
        (
            "teams:\n  - name: web\n    optional_label_patterns:\n      - '*'\n      - gpu-(a\n",
            "bad.yaml:5:9: not a regular expression at character 5",
        ),
        ("teams:\n  - name: web\n    name: web\n", "bad.yaml:3:"),
        ("# nothing\n", "bad.yaml has no document"),
    ] {
        let path = write(world, "bad.yaml", text);
        let refused = scene.run(&root, &["diff", "-f", path.to_str().unwrap()]).await.expect(2);
        assert!(refused.stderr.contains(fault), "{fault}\n{}", refused.stderr);
    }
    // The service refuses these, and the command knows their place.
    let good = write(world, "many/a.yaml", "teams:\n  - name: games\n");
    write(world, "many/b.yml", "teams:\n  - name: web\n---\nteams:\n  - name: ok\n    weight: 0\n");
    let folder = good.parent().unwrap().to_str().unwrap();
    let refused = scene.run(&root, &["diff", "-f", folder]).await.expect(4);
    assert!(refused.stderr.contains("many/b.yml:6:5: above 0, at most 100"), "{}", refused.stderr);
    let eve = UserDraft { is_admin: true, ..world.user_draft("eve") };
    world.person(eve, &[]).await;
    let less = write(world, "less.yaml", "people:\n  - email: eve@example.com\n");
    let refused = scene.run(&root, &["apply", "-f", less.to_str().unwrap(), "--yes"]).await.expect(4);
    assert!(refused.stderr.contains("--allow remove-admin: an admin loses"), "{}", refused.stderr);
    let none = scene.run(&root, &["apply", "-f", "/nowhere/teams.yaml"]).await.expect(2);
    assert!(none.stderr.contains("/nowhere/teams.yaml"), "{}", none.stderr);
    assert_eq!(scene.count("SELECT count(*) FROM teams").await, 1);
}

#[tokio::test]
async fn failing_case_shows_the_checks_that_decide() {
    let world = World::builder().workers(0).start().await;
    let text = fs::read_to_string(example()).unwrap().replace("expect: read_only", "expect: allow");
    let path = write(&world, "failing.yaml", &text);
    let failed = test_policy(&world, path.to_str().unwrap()).await.expect(7);
    assert!(failed.stdout.contains("FAIL  A viewer gets no runner."), "{}", failed.stdout);
    assert!(failed.stdout.contains("expected allow, is refused: read_only"), "{}", failed.stdout);
    assert!(failed.stdout.contains("✖ role"), "{}", failed.stdout);
    let path = write(&world, "wrong.yaml", &text.replace("team: games", "team: game"));
    let wrong = test_policy(&world, path.to_str().unwrap()).await.expect(2);
    assert!(wrong.stderr.contains("no team with this name"), "{}", wrong.stderr);
}

#[tokio::test]
async fn draft_is_held_against_the_requests_of_the_last_days() {
    let (scene, root) = admin_scene().await;
    let body = json!({ "runner_name_prefix": "ci", "labels": ["gpu-1"] });
    scene.world.post("/runners/jit", &scene.ada, &body).await.assert_status(202);
    let text = "teams:\n  - name: red\n    required_labels: [team-red]\n    optional_label_patterns: [cpu]\n    add_self_hosted: false\n";
    let path = write(&scene.world, "draft.yaml", text);
    let words = ["policy", "test", path.to_str().unwrap(), "--against", "last-30d"];
    let held = scene.run(&root, &words).await.expect(7);
    assert!(held.stdout.contains("red: 1 requests, 1 refused anew, 0 allowed anew"), "{}", held.stdout);
    assert!(held.stdout.contains("ada@example.com"), "{}", held.stdout);
    let path = write(&scene.world, "draft.yaml", &text.replace("[cpu]", "['glob:gpu-*']"));
    scene.run(&root, &["policy", "test", path.to_str().unwrap(), "--against", "last-30d"]).await.expect(0);
    scene.run(&root, &["policy", "test", path.to_str().unwrap(), "--against", "yesterday"]).await.expect(2);
}

#[tokio::test]
async fn explain_shows_every_check_and_whom_to_ask() {
    let (scene, root) = admin_scene().await;
    let fine = scene.run(&scene.ada, &["explain", "--label", "gpu-1"]).await.expect(0);
    assert!(
        fine.stdout.contains("✔ label gpu-1: matches a pattern of the team (glob:gpu-*)"),
        "{}",
        fine.stdout
    );
    let refused = scene.run(&scene.ada, &["explain", "--label", "cpu-1", "--team", "red"]).await.expect(4);
    for part in
        ["✖ label cpu-1: matches none", "the team's patterns: glob:gpu-*", "ask root@example.com (admins)"]
    {
        assert!(refused.stdout.contains(part), "{part}\n{}", refused.stdout);
    }
    assert!(refused.stderr.contains("label_policy_violation"), "{}", refused.stderr);
    scene.run(&root, &["explain", "--as", "ada@example.com", "--label", "gpu-1"]).await.expect(0);
    let words = ["explain", "--as", "ada@example.com", "--label", "gpu-1", "-o", "json"];
    let answer: Value = scene.run(&root, &words).await.expect(0).json();
    assert_eq!(answer["allowed"], true);
    scene.run(&scene.ada, &words).await.expect(4);
}
