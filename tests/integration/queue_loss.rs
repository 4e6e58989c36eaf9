//! Loss of all Redis data, expiry of jobs, and cancelling.

use std::time::Duration;

use domain::{InstallationId, Lane};
use futures::future::join_all;
use github_twin::{Fault, FaultKind};
use harness::{Person, World, provision_body, team_draft, wait_until};
use queue::{JobPlace, Reason};
use scheduler::{expire, requeue};
use serde_json::json;

async fn scene(builder: harness::Builder) -> (World, Person) {
    let world = builder.start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    (world, ada)
}

#[tokio::test]
async fn queued_jobs_are_put_back_once() {
    let (world, ada) = scene(World::builder().workers(0)).await;
    let all = join_all((0..5).map(|_| world.provision(&ada, provision_body("ci")))).await;
    let mut memory = requeue::EpochTracker::default();
    assert_eq!(requeue::run(&world.scheduler_parts(), &mut memory).await.unwrap(), 0, "nothing is missing");
    world.redis().flush().await;
    assert_eq!(requeue::run(&world.scheduler_parts(), &mut memory).await.unwrap(), 5);
    assert_eq!(requeue::run(&world.scheduler_parts(), &mut memory).await.unwrap(), 0);
    world.keep_running(world.start_worker());
    for asked in &all {
        assert_eq!(world.until_final(&ada, asked.job).await["state"], "succeeded");
    }
    assert_eq!(world.twin.ledger().of("POST", "generate-jitconfig").count(), 5);
}

#[tokio::test]
async fn requeue_steps_of_few_rows_cover_all_rows_in_turns() {
    let (world, ada) = scene(World::builder().workers(0)).await;
    world.provision(&ada, provision_body("ci")).await;
    sqlx::query(
        "INSERT INTO jobs (id, kind, installation, team_id, requester_user, runner_id, deadline_at, params)
         SELECT gen_random_uuid(), kind, installation, team_id, requester_user, runner_id, deadline_at, params
         FROM jobs, generate_series(1, 1200)",
    )
    .execute(world.sql())
    .await
    .unwrap();
    world.redis().flush().await;
    let mut memory = requeue::EpochTracker::default().with_rows(500);
    for back in [500, 500, 201, 0, 0] {
        assert_eq!(requeue::run(&world.scheduler_parts(), &mut memory).await.unwrap(), back);
    }
    // A loss during a comparison: the comparison starts again.
    world.redis().flush().await;
    assert_eq!(requeue::run(&world.scheduler_parts(), &mut memory).await.unwrap(), 500);
    world.redis().flush().await;
    for back in [500, 500, 201] {
        assert_eq!(requeue::run(&world.scheduler_parts(), &mut memory).await.unwrap(), back);
    }
}

#[tokio::test]
async fn scheduler_detects_a_flush() {
    let (world, ada) = scene(World::builder().workers(0).scheduler()).await;
    wait_until("the queue is marked", || async { world.queue().epoch().await.unwrap().is_some() }).await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.redis().flush().await;
    world.keep_running(world.start_worker());
    assert_eq!(world.until_final(&ada, asked.job).await["state"], "succeeded");
}

#[tokio::test]
async fn running_job_survives_a_flush_and_runs_once() {
    let (world, ada) = scene(World::builder().workers(2)).await;
    world.twin.fault(Fault::once("POST", "generate-jitconfig", FaultKind::Latency { ms: 800 }));
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.fault_consumed().await;
    world.redis().flush().await;
    let mut memory = requeue::EpochTracker::default();
    assert_eq!(
        requeue::run(&world.scheduler_parts(), &mut memory).await.unwrap(),
        0,
        "its worker gets extra time"
    );
    assert_eq!(world.until_final(&ada, asked.job).await["attempts"], 1);
    assert_eq!(world.twin.ledger().of("POST", "generate-jitconfig").count(), 1);
    world.credential(&ada, asked.job).await.assert_status(200);
}

#[tokio::test]
async fn started_jobs_go_first_after_a_flush() {
    let (world, ada) = scene(World::builder().workers(0)).await;
    let waiting = join_all((0..3).map(|_| world.provision(&ada, provision_body("ci")))).await;
    let orphan = world.provision(&ada, provision_body("ci")).await.job;
    world.change("UPDATE jobs SET state = 'running', attempts = 1, fence = 1 WHERE id = $1", orphan).await;
    world.redis().flush().await;
    let mut memory = requeue::EpochTracker::with_grace(Duration::ZERO);
    assert_eq!(requeue::run(&world.scheduler_parts(), &mut memory).await.unwrap(), 4);
    let place = |job: uuid::Uuid| {
        let queue = world.queue();
        async move { queue.position(job.into()).await.unwrap().unwrap().place }
    };
    assert_eq!(place(orphan).await, JobPlace::Ready { ahead: 0 });
    for asked in &waiting {
        assert_ne!(place(asked.job).await, JobPlace::Ready { ahead: 0 });
    }
}

#[tokio::test]
async fn job_that_was_never_enqueued_is_requeued() {
    let (world, ada) = scene(World::builder().workers(0)).await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.queue().cancel(asked.job.into()).await.unwrap();
    assert_eq!(
        requeue::run(&world.scheduler_parts(), &mut requeue::EpochTracker::default()).await.unwrap(),
        1
    );
    world.keep_running(world.start_worker());
    assert_eq!(world.until_final(&ada, asked.job).await["state"], "succeeded");
}

#[tokio::test]
async fn job_past_its_deadline_expires_and_is_never_run() {
    let (world, ada) = scene(World::builder().workers(0)).await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    assert_eq!(expire::run(world.scheduler_parts()).await.unwrap(), 0);
    world.change("UPDATE jobs SET deadline_at = now() WHERE id = $1", asked.job).await;
    assert_eq!(expire::run(world.scheduler_parts()).await.unwrap(), 1);
    let job = world.job(&ada, asked.job).await;
    assert_eq!((&job["state"], &job["error"]["code"]), (&json!("expired"), &json!("job_expired")));
    world.credential(&ada, asked.job).await.refused(503, "job_expired");
    assert_eq!(world.count("SELECT count(*) FROM runners WHERE status = 'deleted'").await, 1);
    world.keep_running(world.start_worker());
    let next = world.provision(&ada, provision_body("ci")).await;
    world.until_final(&ada, next.job).await;
    assert_eq!(world.twin.ledger().of("POST", "generate-jitconfig").count(), 1, "only the next one");
}

/// Moves a job's deadline into the past.
const LATE: &str = "UPDATE jobs SET deadline_at = now() - interval '61 seconds' WHERE id = $1";

#[tokio::test]
async fn jobs_running_without_a_worker_expire_a_minute_after_their_deadline() {
    let (world, ada) = scene(World::builder().workers(0)).await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.change("UPDATE jobs SET state = 'running', attempts = 1, fence = 1 WHERE id = $1", asked.job).await;
    world.change("UPDATE jobs SET deadline_at = now() WHERE id = $1", asked.job).await;
    assert_eq!(expire::run(world.scheduler_parts()).await.unwrap(), 0, "it may be about to finish");
    world.change(LATE, asked.job).await;
    assert_eq!(expire::run(world.scheduler_parts()).await.unwrap(), 1);
    let job = world.job(&ada, asked.job).await;
    assert_eq!((&job["state"], &job["error"]["code"]), (&json!("expired"), &json!("job_expired")));
    assert_eq!(world.count("SELECT count(*) FROM runners WHERE status = 'deleted'").await, 1);
}

#[tokio::test]
async fn config_of_a_job_that_expired_while_it_ran_is_discarded() {
    let (world, ada) = scene(World::builder()).await;
    world.twin.fault(Fault::once("POST", "generate-jitconfig", FaultKind::Latency { ms: 800 }));
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.fault_consumed().await;
    world.change(LATE, asked.job).await;
    assert_eq!(expire::run(world.scheduler_parts()).await.unwrap(), 1);
    let known = "SELECT count(*) FROM github_calls
        WHERE state = 'effect_suspected' AND github_runner_id IS NOT NULL";
    wait_until("its worker finds the job already finished", || async { world.count(known).await == 1 }).await;
    assert_eq!(world.job(&ada, asked.job).await["state"], "expired");
    world.credential(&ada, asked.job).await.refused(503, "job_expired");
    sqlx::query("UPDATE github_calls SET next_reap_at = now()").execute(world.sql()).await.unwrap();
    assert_eq!(scheduler::reap::run(world.scheduler_parts()).await.unwrap(), 1);
    wait_until("its runner is gone from GitHub", || async { world.twin.runners().is_empty() }).await;
    wait_until("the queue has removed the job", || async {
        world.queue().position(asked.job.into()).await.unwrap().is_none()
    })
    .await;
}

#[tokio::test]
async fn worker_does_not_start_an_expired_job() {
    let (world, ada) = scene(World::builder().workers(0)).await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.change("UPDATE jobs SET deadline_at = now() WHERE id = $1", asked.job).await;
    world.keep_running(world.start_worker());
    let job = world.until_final(&ada, asked.job).await;
    assert_eq!((&job["state"], &job["error"]["code"]), (&json!("expired"), &json!("job_expired")));
    assert!(world.twin.ledger().entries.is_empty());
    assert_eq!(world.count("SELECT count(*) FROM runners WHERE status = 'deleted'").await, 1);
}

#[tokio::test]
async fn deadlines_are_a_quarter_of_an_hour() {
    let (world, ada) = scene(World::builder().workers(0)).await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    let span = "SELECT (deadline_at - created_at)::text FROM jobs WHERE id = $1";
    assert_eq!(world.text(span, asked.job).await, "00:15:00");
}

#[tokio::test]
async fn cancelling_a_queued_job_answers_its_long_polls() {
    let (world, ada) = scene(World::builder().workers(0)).await;
    let waiting = world
        .ask("POST", "/runners/jit")
        .by(&ada)
        .header("prefer", "wait=20")
        .json(&provision_body("ci"))
        .send();
    let cancelling = async {
        let job = harness::eventually("the job", || async {
            let jobs = world.get("/jobs", &ada).await.assert_status(200).body;
            jobs["jobs"][0]["job_id"].as_str().map(str::to_owned)
        })
        .await;
        let path = format!("/jobs/{job}");
        assert_eq!(world.delete(&path, &ada).await.assert_status(200).body["state"], "cancelled");
        world.delete(&path, &ada).await.refused(409, "job_not_cancellable");
        world.credential(&ada, job.parse().unwrap()).await.refused(409, "job_cancelled");
    };
    let (told, ()) = tokio::join!(waiting, cancelling);
    told.refused(409, "job_cancelled");
    assert_eq!(world.count("SELECT count(*) FROM runners WHERE status = 'deleted'").await, 1);
    let told = "SELECT count(*) FROM audit_log WHERE event_type = 'job.cancel' AND success";
    let refused = "SELECT count(*) FROM audit_log WHERE event_type = 'job.cancel' AND NOT success";
    assert_eq!(
        (world.count(told).await, world.count(refused).await),
        (1, 1),
        "the second start came after the deadline"
    );
    world.keep_running(world.start_worker());
    let next = world.provision(&ada, provision_body("ci")).await;
    world.until_final(&ada, next.job).await;
    assert_eq!(world.twin.ledger().of("POST", "generate-jitconfig").count(), 1);
}

#[tokio::test]
async fn running_and_final_jobs_are_not_cancelled() {
    let (world, ada) = scene(World::builder()).await;
    world.twin.fault(Fault::once("POST", "generate-jitconfig", FaultKind::Latency { ms: 600 }));
    let asked = world.provision(&ada, provision_body("ci")).await;
    let path = format!("/jobs/{}", asked.job);
    wait_until("it runs", || async { world.job(&ada, asked.job).await["state"] == "running" }).await;
    world.delete(&path, &ada).await.refused(409, "job_not_cancellable");
    assert_eq!(world.until_final(&ada, asked.job).await["state"], "succeeded");
    world.delete(&path, &ada).await.refused(409, "job_not_cancellable");
}

#[tokio::test]
async fn pauses_are_relearned_after_a_flush() {
    let (world, ada) = scene(World::builder()).await;
    let shortly = Duration::from_mins(10);
    world.queue().pause(&InstallationId::default(), shortly, Reason::Admin).await.unwrap();
    let asked = world.provision(&ada, provision_body("ci")).await;
    assert_eq!(world.job(&ada, asked.job).await["blocked_on"], "paused");
    world.twin.fault(Fault::once(
        "POST",
        "generate-jitconfig",
        FaultKind::SecondaryLimit { status: 429, retry_after: Some(90) },
    ));
    world.redis().flush().await;
    requeue::run(&world.scheduler_parts(), &mut requeue::EpochTracker::default()).await.unwrap();
    wait_until("one response is enough", || async {
        world
            .queue()
            .pauses()
            .await
            .unwrap()
            .iter()
            .any(|paused| paused.pause.reason == Reason::SecondaryLimit)
    })
    .await;
    world.twin.advance(Duration::from_secs(91));
    world.queue().resume(&InstallationId::default(), Reason::SecondaryLimit).await.unwrap();
    world.make_due(Lane::Provision).await;
    assert_eq!(world.until_final(&ada, asked.job).await["state"], "succeeded");
    assert!(world.twin.ledger().violations.is_empty());
}
