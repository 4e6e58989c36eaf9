//! Rows written by a newer release, as during an upgrade or after a rollback.

use chrono::TimeDelta;
use domain::InstallationId;
use harness::{Accepted, Person, World, provision_body, team_draft, wait_until};
use queue::JobPlace;
use scheduler::{expire, reap, requeue, stale, unused};
use serde_json::{Value, json};
use uuid::Uuid;

/// Removes constraints, as a migration of a newer release might.
const WIDER: &str = "ALTER TABLE jobs DROP CONSTRAINT jobs_kind_check, DROP CONSTRAINT jobs_blocked_on_check";
/// Jobs that only a newer release understands: an unknown kind, an unknown block reason, and an unknown field.
const NEWER: [&str; 3] = [
    "UPDATE jobs SET kind = 'rotate' WHERE id = $1",
    "UPDATE jobs SET blocked_on = 'approval' WHERE id = $1",
    r#"UPDATE jobs SET params = params || '{"image": "ubuntu"}' WHERE id = $1"#,
];
const UNTOUCHED: &str =
    "SELECT count(*) FROM jobs WHERE state = 'queued' AND fence = 0 AND attempts = 0 AND started_at IS NULL";

#[tokio::test]
async fn jobs_of_a_newer_release_are_skipped() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    sqlx::query(WIDER).execute(world.sql()).await.unwrap();
    let mut newer: Vec<Uuid> = Vec::new();
    for sql in NEWER {
        let job = world.provision(&ada, provision_body("ci")).await.job;
        world.change(sql, job).await;
        newer.push(job);
    }
    let ours = world.provision(&ada, provision_body("ci")).await;
    let listed = world.get("/jobs", &ada).await.assert_status(200).body;
    let shown: Vec<&Value> = listed["jobs"].as_array().unwrap().iter().map(|job| &job["job_id"]).collect();
    assert_eq!(shown, [&json!(ours.job)], "the list shows what can be read");

    world.keep_running(world.start_worker());
    assert_eq!(world.until_final(&ada, ours.job).await["state"], "succeeded");
    for job in &newer {
        wait_until("a worker of this release postpones it", || async {
            let standing = world.queue().position((*job).into()).await.unwrap().unwrap();
            matches!(standing.place, JobPlace::Delayed { .. })
        })
        .await;
    }
    assert_eq!(world.count(UNTOUCHED).await, 3);
    assert_eq!(world.twin.ledger().of("POST", "generate-jitconfig").count(), 1);

    let mut memory = requeue::EpochTracker::default();
    world.redis().flush().await;
    let back = requeue::run(&world.scheduler_parts(), &mut memory).await.unwrap();
    assert_eq!(back, 2, "a job of an unknown kind has no lane; the requeue continues after it");
    assert!(world.queue().epoch().await.unwrap().is_some(), "and ends");

    let next = world.provision(&ada, provision_body("ci")).await;
    let late = "UPDATE jobs SET deadline_at = now() WHERE finished_at IS NULL AND id <> $1";
    sqlx::query(late).bind(next.job).execute(world.sql()).await.unwrap();
    assert_eq!(expire::run(world.scheduler_parts()).await.unwrap(), 3);
    let released = "SELECT count(*) FROM runners JOIN jobs ON jobs.runner_id = runners.id
        WHERE jobs.state = 'expired' AND status = 'deleted'";
    assert_eq!(world.count(released).await, 3, "their places in the quota are free again");
    assert_eq!(world.until_final(&ada, next.job).await["state"], "succeeded");
}

/// Makes a row unreadable: a newer release may allow other installation ids.
const ELSEWHERE: &str = "UPDATE runners SET installation = 'Region/EU' WHERE id = $1";

/// A world without workers, with a user of the team `red` and one of another team.
struct Scene {
    world: World,
    ada: Person,
    stranger: Person,
    root: Person,
}

impl Scene {
    async fn new() -> Self {
        let world = World::builder().workers(0).start().await;
        let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
        let (ada, stranger) = (world.user("ada", &[&red]).await, world.user("bob", &[&blue]).await);
        Self { root: world.admin().await, ada, stranger, world }
    }

    async fn request_runner(&self) -> Accepted {
        self.world.provision(&self.ada, provision_body("ci")).await
    }

    /// Checks that calls about a row say that a newer version wrote it, and hide it from a stranger.
    async fn assert_newer(&self, calls: &[(&str, String)]) {
        for (method, path) in calls {
            let ask = |who: &Person| self.world.ask(method, path).by(who).send();
            let refused = ask(&self.ada).await.refused(503, "newer_version");
            assert!(refused.body["detail"].as_str().unwrap().contains("newer version"), "{}", refused.text);
            assert!(!refused.header("retry-after").is_empty(), "{method} {path}");
            ask(&self.stranger).await.refused(404, "not_found");
        }
    }

    /// Adds copies of a row of `runners` that this release cannot read, older than the row itself.
    async fn add_older_copies(&self, runner: Uuid, many: i32) {
        let copies = "INSERT INTO runners (id, installation, team_id, owner_user, name, status, runner_group_id, labels,
                registered_at, offline_since)
            SELECT gen_random_uuid(), 'Region/EU', team_id, owner_user, status || '-' || n, status, 1, labels,
                registered_at - interval '1 minute', offline_since - interval '1 minute'
            FROM runners, generate_series(1, $2) n WHERE runners.id = $1";
        let done = sqlx::query(copies).bind(runner).bind(many).execute(self.world.sql()).await.unwrap();
        assert_eq!(done.rows_affected(), u64::try_from(many).unwrap());
    }
}

#[tokio::test]
async fn call_about_a_job_of_a_newer_release_says_so_and_changes_nothing() {
    let scene = Scene::new().await;
    sqlx::query(WIDER).execute(scene.world.sql()).await.unwrap();
    for sql in NEWER {
        let job = scene.request_runner().await.job;
        scene.world.change(sql, job).await;
        scene
            .assert_newer(&[
                ("GET", format!("/jobs/{job}")),
                ("GET", format!("/jobs/{job}?wait=5")),
                ("GET", format!("/jobs/{job}/events")),
                ("POST", format!("/jobs/{job}/credential")),
                ("DELETE", format!("/jobs/{job}")),
            ])
            .await;
    }
    assert_eq!(scene.world.count(UNTOUCHED).await, 3);
    let metrics = scene.world.request("GET", "/metrics").send().await.text;
    assert!(metrics.contains(r#"rts_unreadable_total{store="postgres"}"#), "{metrics}");
}

#[tokio::test]
async fn call_about_a_runner_of_a_newer_release_says_so() {
    let scene = Scene::new().await;
    let runner = scene.request_runner().await.runner;
    scene.world.change(ELSEWHERE, runner).await;
    scene
        .assert_newer(&[
            ("GET", format!("/runners/{runner}")),
            ("POST", format!("/runners/{runner}/refresh")),
            ("DELETE", format!("/runners/{runner}")),
        ])
        .await;
    let listed = scene.world.get("/runners", &scene.ada).await.assert_status(200).body;
    assert_eq!(listed["runners"], json!([]));
}

#[tokio::test]
async fn machine_client_with_a_rule_of_a_newer_release_can_still_be_removed() {
    let scene = Scene::new().await;
    let (world, root) = (&scene.world, &scene.root);
    let red = world.get("/auth/me", &scene.ada).await.assert_status(200).body["teams"][0]["id"].clone();
    let rule = json!({ "client_id": "deploy", "team_id": red, "rule": { "subject": "repo:acme/deploy:*" } });
    let made = world.post("/admin/oauth-clients", root, &rule).await.assert_status(201).body;
    let id: Uuid = made["id"].as_str().unwrap().parse().unwrap();
    let newer = r#"UPDATE oauth_clients SET rule = rule || '{"expires": "2030-01-01"}' WHERE id = $1"#;
    world.change(newer, id).await;
    let path = format!("/admin/oauth-clients/{id}");
    world.get(&path, root).await.refused(503, "newer_version");
    world.patch(&path, root, &json!({ "description": "x" })).await.refused(503, "newer_version");
    let rule = world.text("SELECT rule ->> 'expires' FROM oauth_clients WHERE id = $1", id).await;
    assert_eq!(rule, "2030-01-01");
    world.delete(&path, root).await.assert_status(204);
    world.get(&path, root).await.refused(404, "not_found");
    let logged =
        world.get("/audit-logs?event_type=client.delete", root).await.assert_status(200).body["logs"][0]
            .clone();
    assert_eq!(logged["event_data"]["before"]["rule"]["expires"], "2030-01-01", "{logged}");
}

#[tokio::test]
async fn steps_find_their_rows_behind_a_full_page_of_a_newer_release() {
    let scene = Scene::new().await;
    let (world, parts) = (&scene.world, scene.world.scheduler_parts());
    let left = scene.request_runner().await.runner;
    let pending =
        "UPDATE runners SET status = 'pending', registered_at = now() - interval '1 day' WHERE id = $1";
    world.change(pending, left).await;
    scene.add_older_copies(left, 201).await;
    assert_eq!(unused::run(parts.clone()).await.unwrap(), 1);

    let gone = scene.request_runner().await.runner;
    let offline =
        "UPDATE runners SET status = 'offline', offline_since = now() - interval '2 days' WHERE id = $1";
    world.change(offline, gone).await;
    scene.add_older_copies(gone, 501).await;
    assert_eq!(stale::clean_up(&parts, TimeDelta::days(1)).await.unwrap(), 1);

    let asked = scene.request_runner().await.job;
    let calls = "INSERT INTO github_calls (id, job_id, installation, generation, runner_name, fence, state, next_reap_at)
        SELECT gen_random_uuid(), $1, CASE WHEN n = 202 THEN 'default' ELSE 'Region/EU' END, n, 'ci-' || n, 0,
            'effect_suspected', now() - interval '1 hour' + n * interval '1 s'
        FROM generate_series(1, 202) n";
    sqlx::query(calls).bind(asked).execute(world.sql()).await.unwrap();
    assert_eq!(reap::run(parts).await.unwrap(), 1);
    let untouched =
        "SELECT count(*) FROM github_calls WHERE installation = 'Region/EU' AND reap_attempts = 0";
    assert_eq!(world.count(untouched).await, 201);
}

#[tokio::test]
async fn revocation_goes_on_behind_a_runner_of_a_newer_release() {
    let world = World::start().await;
    let red = world.team(team_draft("red")).await;
    let (ada, root) = (world.user("ada", &[&red]).await, world.admin().await);
    let (ours, newer) = (
        world.provision(&ada, provision_body("ours")).await,
        world.provision(&ada, provision_body("newer")).await,
    );
    for asked in [&ours, &newer] {
        assert_eq!(world.until_final(&ada, asked.job).await["state"], "succeeded");
    }
    world.change(ELSEWHERE, newer.runner).await;
    let path = format!("/admin/users/{}", ada.id);
    world.patch(&path, &root, &json!({ "is_active": false })).await.assert_status(200);
    let left = "SELECT count(*) FROM credentials WHERE ciphertext IS NOT NULL";
    assert_eq!(world.count(left).await, 0, "no config is left");
    wait_until("our runner is removed", || async {
        world.text("SELECT status FROM runners WHERE id = $1", ours.runner).await == "deleted"
    })
    .await;
    assert_eq!(world.text("SELECT status FROM runners WHERE id = $1", newer.runner).await, "pending");
    let logged = world.get("/audit-logs?event_type=user.update", &root).await.assert_status(200).body["logs"]
        [0]
    .clone();
    let revoked = &logged["event_data"]["revoked"];
    assert_eq!(
        (&revoked["shredded_configs"], &revoked["removed_runners"]),
        (&json!(2), &json!(1)),
        "{logged}"
    );
    assert_eq!(revoked["runners_left_to_a_newer_version"], 1, "{logged}");
}

#[tokio::test]
async fn job_about_a_runner_of_a_newer_release_waits_for_a_newer_worker() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.change(ELSEWHERE, asked.runner).await;
    world.keep_running(world.start_worker());
    let snoozed = "SELECT count(*) FROM jobs WHERE snoozes > 0 AND attempts = 0 AND state = 'queued'";
    wait_until("the job is put off", || async { world.count(snoozed).await == 1 }).await;
    assert_eq!(world.twin.ledger().of("POST", "generate-jitconfig").count(), 0);
    world.change("UPDATE runners SET installation = 'default' WHERE id = $1", asked.runner).await;
    assert_eq!(world.until_final(&ada, asked.job).await["state"], "succeeded");
}

#[tokio::test]
async fn shared_token_of_a_newer_release_stays_and_each_worker_mints_its_own() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let github_id = github_twin::TwinConfig::default().installation_id;
    let name = format!("github-token:{}:{github_id}", InstallationId::default());
    let newer: &[u8] = br#"{"version":2,"token":"sealed in another way"}"#;
    let hour = std::time::Duration::from_hours(1);
    world.queue().shared_put(&name, newer, hour).await.unwrap();
    for mints in 1..=2 {
        let worker = world.start_worker();
        let asked = world.provision(&ada, provision_body("ci")).await;
        assert_eq!(world.until_final(&ada, asked.job).await["state"], "succeeded");
        assert_eq!(world.twin.ledger().of("POST", "access_tokens").count(), mints);
        worker.stop().await;
    }
    assert_eq!(world.queue().shared_get(&name).await.unwrap().as_deref(), Some(newer));
}
