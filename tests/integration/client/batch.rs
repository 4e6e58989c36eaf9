//! `rts batch`: many people, runners or teams by one command.

use harness::{World, provision_body, team_draft};
use serde_json::{Value, json};

use super::Scene;

const INACTIVE: &str = "SELECT count(*) FROM users WHERE NOT is_active";
const BATCHES: &str = "SELECT count(*) FROM batches";

#[tokio::test]
async fn people_are_previewed_deactivated_and_restored() {
    let scene = Scene::new().await;
    let admin = scene.world.admin().await;
    let bob = scene.world.user("bob", &[&scene.red]).await;
    let run = async |words: &[&str]| scene.run(&admin, words).await;
    let words = ["batch", "disable-users", "--team", "red", "--comment", "the project is over"];
    let preview = run(&[&words[..], &["--dry-run"]].concat()).await.expect(0);
    assert_eq!(preview.stdout.trim(), "would try 2 people");
    assert!(preview.stderr.contains("bob@example.com"), "{}", preview.stderr);
    run(&words).await.expect(2);
    assert_eq!((scene.count(INACTIVE).await, scene.count(BATCHES).await), (0, 0), "nobody was asked");
    let refused = run(&[&words[..], &["--yes", "--expected-count", "3"]].concat()).await.expect(4);
    assert!(refused.stderr.contains("matches 2"), "{}", refused.stderr);

    let selected = ["batch", "disable-users", "--select", "team:red", "--comment", "the project is over"];
    let preview_again = run(&[&selected[..], &["--dry-run"]].concat()).await.expect(0);
    assert_eq!((preview_again.stdout, preview_again.stderr), (preview.stdout, preview.stderr));

    let done = run(&[&words[..], &["--yes", "-o", "json"]].concat()).await.expect(0).json();
    assert_eq!((&done["state"], done["affected_count"].as_i64()), (&Value::from("done"), Some(2)));
    assert_eq!(scene.count(INACTIVE).await, 2);
    let file = scene.world.folder().join("people.txt");
    std::fs::write(&file, format!("{}\n\n  ada@example.com \n", bob.id)).unwrap();
    let back = ["batch", "restore-users", "--ids-from", "people.txt", "--comment", "it goes on after all"];
    let said = run(&[&back[..], &["--yes"]].concat()).await.expect(0);
    assert_eq!(said.stdout.trim(), "done: 2 of 2 (2 changed, 0 left as they are, 0 refused)");
    assert_eq!(scene.count(INACTIVE).await, 0);

    let listed = run(&["batch", "list", "-o", "name"]).await.expect(0).stdout;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let shown = run(&["batch", "show", listed.lines().next().unwrap(), "-o", "json"]).await.expect(0).json();
    assert_eq!((&shown["action"], shown["details"].as_array().unwrap().len()), (&"restore_users".into(), 2));
    let ended = run(&["batch", "stop", listed.lines().next().unwrap()]).await.expect(4);
    assert!(ended.stderr.contains("done"), "{}", ended.stderr);
    scene.run(&scene.ada, &[&words[..], &["--dry-run"]].concat()).await.expect(4);
}

#[tokio::test]
async fn selector_is_said_aloud_and_is_one() {
    let scene = Scene::new().await;
    let admin = scene.world.admin().await;
    let comment = ["--comment", "ten characters or more", "--yes"];
    for words in [
        &["batch", "disable-users"][..],
        &["batch", "disable-users", "--all", "--team", "red"],
        &["batch", "disable-users", "--id", "ada@example.com", "--team", "red"],
        &["batch", "deactivate-teams", "--search", "red", "--all"],
        &["batch", "delete-runners", "--status", "wet"],
        &["batch", "delete-runners", "--select", "state:offline", "--team", "red"],
        &["batch", "delete-runners", "--select", ""],
        &["batch", "disable-users", "--select", "team:red", "--all"],
        &["batch", "retry-jobs"],
        &["batch", "retry-jobs", "--all"],
        &["batch", "retry-jobs", "--team", "red"],
        &["batch", "discard-jobs", "--id", "ci-1"],
        &[
            "batch",
            "discard-jobs",
            "--id",
            "0192f0c4-0000-7000-8000-000000000000",
            "--code",
            "github_refused",
        ],
    ] {
        scene.run(&admin, &[words, &comment].concat()).await.expect(2);
    }
    let colour = ["batch", "delete-runners", "--select", "team:red colour:blue"];
    let said = scene.run(&admin, &[&colour[..], &comment].concat()).await.expect(2);
    assert!(
        said.stderr.contains("There is no `colour:`. Words: `state:`, `team:`, `by:`."),
        "{}",
        said.stderr
    );
    std::fs::write(scene.world.folder().join("none.txt"), "\n \n").unwrap();
    let empty = [&["batch", "disable-users", "--ids-from", "none.txt"][..], &comment].concat();
    let said = scene.run(&admin, &empty).await.expect(2);
    assert!(said.stderr.contains("names nothing"), "{}", said.stderr);
    assert_eq!(scene.count(BATCHES).await, 0);
}

#[tokio::test]
async fn large_batch_goes_on_after_the_command_and_can_be_followed() {
    let scene = Scene::of(World::builder().workers(0).start().await).await;
    let admin = scene.world.admin().await;
    let people = "INSERT INTO users (id, email) SELECT gen_random_uuid(), 'p' || n || '@example.com'
        FROM generate_series(1, 150) n";
    sqlx::query(people).execute(scene.world.sql()).await.unwrap();
    let run = async |words: &[&str]| scene.run(&admin, words).await;
    let words = ["batch", "disable-users", "--all", "--comment", "the company was sold", "--yes"];
    let guarded = run(&words).await.expect(4);
    assert!(guarded.stderr.contains("152"), "a script says the number too: {}", guarded.stderr);
    let meant = [&words[..], &["--expected-count", "152"]].concat();
    let left = run(&[&meant[..], &["--wait", "1s"]].concat()).await.expect(6);
    let batch = left.stderr.lines().find_map(|line| line.strip_prefix("batch ")).unwrap().to_owned();
    assert!(left.stderr.contains(&format!("rts batch watch {batch}")), "{}", left.stderr);
    run(&["batch", "stop", &batch]).await.expect(0);
    let stopped = run(&["batch", "watch", &batch]).await.expect(1);
    assert!(stopped.stderr.contains("rts batch resume"), "{}", stopped.stderr);
    run(&["batch", "resume", &batch, "--no-wait"]).await.expect(0);
    scene.world.keep_running(scene.world.start_scheduler());
    let said = run(&["batch", "watch", &batch]).await.expect(0);
    assert!(said.stdout.starts_with("done: 152 of 152"), "{}", said.stdout);
}

#[tokio::test]
async fn runners_and_teams_are_ended_by_filter() {
    let scene = Scene::new().await;
    let admin = scene.world.admin().await;
    for prefix in ["ci", "qa"] {
        let asked = scene.world.provision(&scene.ada, provision_body(prefix)).await;
        scene.world.until_final(&scene.ada, asked.job).await;
    }
    scene.world.team(team_draft("games-ci")).await;
    let run = async |words: &[&str]| scene.run(&admin, words).await;
    let mine = scene.run(&scene.ada, &["runner", "list", "--mine", "-o", "name"]).await.expect(0).stdout;
    assert_eq!(mine.lines().count(), 2, "{mine}");
    let none = run(&["runner", "list", "--mine", "--watch", "-o", "name"]).await.expect(0).stdout;
    assert!(none.trim().is_empty(), "the admin has requested none: {none}");
    let comment = ["--comment", "moves to another fleet", "--yes"];
    let words = ["batch", "delete-runners", "--user", "ada@example.com", "--status", "pending"];
    let said = run(&[&words[..], &comment].concat()).await.expect(0);
    assert!(said.stdout.starts_with("done: 2 of 2 (2 changed"), "{}", said.stdout);
    let words = ["batch", "deactivate-teams", "--search", "games-", "--message", "sold"];
    run(&[&words[..], &comment].concat()).await.expect(0);
    let sold = "SELECT count(*) FROM teams WHERE NOT is_active AND deactivation_reason = 'sold'";
    assert_eq!(scene.count(sold).await, 1);
    let words = ["batch", "reactivate-teams", "--id", "games-ci"];
    run(&[&words[..], &comment].concat()).await.expect(0);
    assert_eq!(scene.count(sold).await, 0);
}

#[tokio::test]
async fn failed_jobs_are_retried_by_cause_and_discarded_by_id() {
    let scene = Scene::of(World::builder().workers(1).start().await).await;
    let admin = scene.world.admin().await;
    let mut failed = Vec::new();
    for message in ["Group is unknown", "Group is unknown", "Label is bad"] {
        scene.world.refuse_next_runner(message);
        let job = scene.world.provision(&scene.ada, provision_body("ci")).await.job;
        scene.world.until_final(&scene.ada, job).await;
        failed.push(job.to_string());
    }
    let run = async |words: &[&str]| scene.run(&admin, words).await;
    let causes = run(&["failures", "-o", "json"]).await.expect(0).json();
    let causes = causes["failures"].as_array().unwrap_or_else(|| causes.as_array().unwrap());
    let detail = causes.iter().find(|cause| cause["jobs"] == 2).unwrap()["detail"].as_str().unwrap();
    let cause = ["--code", "github_refused", "--detail", detail, "--since", "1h", "--team", "red"];
    let retry = ["batch", "retry-jobs", "--comment", "the group exists now"];
    let preview = run(&[&retry[..], &cause, &["--dry-run"]].concat()).await.expect(0);
    assert_eq!(preview.stdout.trim(), "would try 2 jobs");
    assert_eq!((scene.count(BATCHES).await, preview.stderr.lines().count()), (0, 2), "{}", preview.stderr);
    let done = run(&[&retry[..], &cause, &["--yes", "-o", "json"]].concat()).await.expect(0).json();
    assert_eq!((&done["action"], &done["affected_count"]), (&json!("retry_jobs"), &json!(2)));
    assert_eq!(scene.count("SELECT count(*) FROM jobs WHERE kind = 'provision'").await, 5);

    std::fs::write(scene.world.folder().join("jobs.txt"), failed.join("\n")).unwrap();
    let discard =
        ["batch", "discard-jobs", "--ids-from", "jobs.txt", "--comment", "the branch is gone", "--yes"];
    let said = run(&discard).await.expect(0);
    assert_eq!(said.stdout.trim(), "done: 3 of 3 (1 changed, 2 left as they are, 0 refused)");
    assert!(run(&["failures", "-o", "name"]).await.expect(0).stdout.trim().is_empty());
}
