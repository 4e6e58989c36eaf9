//! Rows written by a newer release, as during an upgrade or after a rollback.

use harness::{World, provision_body, team_draft, wait_until};
use queue::JobPlace;
use scheduler::{expire, requeue};
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
