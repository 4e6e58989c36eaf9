//! Workflow jobs on managed runners.

use std::time::Duration;

use domain::Lane;
use github_twin::{Conclusion, TwinConfig};
use harness::{team_draft, wait_until};
use serde_json::json;

use super::{Scene, builder, deliver_webhook, outcome, payload, process_inbox, scene};

/// Time for which GitHub still lists a runner after its job.
const LINGERS: Duration = Duration::from_mins(1);

/// Creates a runner whose job has ended while GitHub still lists it, checked once by a worker.
async fn scene_with_lingering_runner() -> Scene {
    let twin = TwinConfig { removes_after: LINGERS, ..TwinConfig::default() };
    let scene = Scene::start(builder().twin(twin), team_draft("red")).await;
    let control = scene.world.twin.control();
    let job = control.queue_job("acme/web", &["gpu-7"]).unwrap();
    control.start_job(job.id, scene.github_id).unwrap();
    process_inbox(&scene.world).await;
    control.complete_job(job.id, Conclusion::Success).unwrap();
    process_inbox(&scene.world).await;
    scene.world.keep_running(scene.world.start_worker());
    let again = "SELECT count(*) FROM jobs WHERE kind = 'drift_check' AND state = 'queued' AND snoozes = 1";
    wait_until("another check is due", || async { scene.world.count(again).await == 1 }).await;
    scene
}

#[tokio::test]
async fn runner_removed_after_its_job_is_deleted_without_two_sync_runs() {
    let scene = scene_with_lingering_runner().await;
    assert_eq!(scene.status_and_busy().await, ("active".to_owned(), false));
    scene.world.twin.control().advance(LINGERS);
    wait_until("the runner is deleted", || async {
        scene.world.make_due(Lane::Drift).await;
        scene.status_and_busy().await.0 == "deleted"
    })
    .await;
    let trail = "SELECT count(*) FROM runner_events WHERE source = 'webhook' AND to_status = 'deleted'";
    assert_eq!(scene.world.count(trail).await, 1);
}

#[tokio::test]
async fn runner_still_listed_after_its_job_is_checked_four_times() {
    let scene = scene_with_lingering_runner().await;
    wait_until("the check is done", || async {
        scene.world.make_due(Lane::Drift).await;
        scene.world.count("SELECT count(*) FROM jobs WHERE finished_at IS NULL").await == 0
    })
    .await;
    assert_eq!(scene.world.count("SELECT snoozes::int8 FROM jobs WHERE kind = 'drift_check'").await, 3);
    assert_eq!(
        scene.status_and_busy().await,
        ("offline".to_owned(), false),
        "its state is recorded; a sync run does the rest"
    );
}

#[tokio::test]
async fn workflow_job_on_our_runner_changes_its_state() {
    let scene = scene().await;
    let control = scene.world.twin.control();
    let job = control.queue_job("acme/web", &["gpu-7"]).unwrap();
    control.start_job(job.id, scene.github_id).unwrap();
    process_inbox(&scene.world).await;
    assert_eq!(scene.status_and_busy().await, ("active".to_owned(), true));

    control.complete_job(job.id, Conclusion::Success).unwrap();
    process_inbox(&scene.world).await;
    assert_eq!(
        scene.status_and_busy().await,
        ("active".to_owned(), false),
        "a runner is deleted only on proof"
    );
    let checks = "SELECT count(*) FROM jobs WHERE kind = 'drift_check' AND state = 'queued'";
    assert_eq!(scene.world.count(checks).await, 1);
    let trail = "SELECT count(*) FROM runner_events WHERE source = 'webhook' AND to_status = 'active'";
    assert_eq!(scene.world.count(trail).await, 1);
    assert!(scene.security_events("label_policy_violation_workflow").await.is_empty());
}

#[tokio::test]
async fn handed_out_runner_is_timed_until_it_is_online_and_has_a_job() {
    let scene = scene().await;
    let job = sqlx::query_scalar("SELECT id FROM jobs WHERE kind = 'provision'").fetch_one(scene.world.sql());
    scene.world.credential(&scene.ada, job.await.unwrap()).await.assert_status(200);
    let counts = async || {
        let text = scene.world.request("GET", "/metrics").send().await.assert_status(200).text;
        let count = |metric: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{metric}_count ")));
            line.map_or(0, |count| count.parse::<u64>().unwrap())
        };
        ["rts_config_seconds", "rts_runner_online_seconds", "rts_runner_first_job_seconds"].map(count)
    };
    let before = counts().await;
    assert!(before[0] > 0, "the config was timed");
    let control = scene.world.twin.control();
    let job = control.queue_job("acme/web", &["gpu-7"]).unwrap();
    control.start_job(job.id, scene.github_id).unwrap();
    process_inbox(&scene.world).await;
    assert_eq!(counts().await[1..], [before[1] + 1, before[2] + 1]);
    control.complete_job(job.id, Conclusion::Success).unwrap();
    process_inbox(&scene.world).await;
    assert_eq!(counts().await[1..], [before[1] + 1, before[2] + 1], "each is timed once");
}

#[tokio::test]
async fn late_in_progress_event_does_not_undo_completed() {
    let scene = scene().await;
    let (begun, ended) = ("workflow_job.in_progress.json", "workflow_job.completed.json");
    deliver_webhook(&scene.world, "workflow_job", &scene.event(ended, 1, 30)).await;
    process_inbox(&scene.world).await;
    assert_eq!(scene.status_and_busy().await, ("active".to_owned(), false));
    let late = deliver_webhook(&scene.world, "workflow_job", &scene.event(begun, 1, 10)).await;
    process_inbox(&scene.world).await;
    assert_eq!(outcome(&scene.world, late).await, "ignored: something newer is known");
    assert_eq!(scene.status_and_busy().await, ("active".to_owned(), false));
}

#[tokio::test]
async fn several_schedulers_share_the_inbox() {
    let scene = scene().await;
    let ended = "workflow_job.completed.json";
    for second in [30, 10, 50, 20, 40, 5, 15] {
        let body = scene.event("workflow_job.in_progress.json", i64::from(second), second);
        deliver_webhook(&scene.world, "workflow_job", &body).await;
        deliver_webhook(&scene.world, "workflow_job", &scene.event(ended, i64::from(second), second)).await;
    }
    let run = || scheduler::inbox::run(scene.world.scheduler_parts());
    let done = tokio::join!(run(), run(), run());
    assert_eq!(done.0.unwrap() + done.1.unwrap() + done.2.unwrap(), 14);
    assert_eq!(scene.status_and_busy().await, ("active".to_owned(), false));
    let left = "SELECT count(*) FROM webhook_inbox WHERE state NOT IN ('processed', 'ignored')";
    assert_eq!(scene.world.count(left).await, 0);
    let newest = "SELECT workflow_job_id::text FROM runners WHERE id = $1";
    assert_eq!(scene.world.text(newest, scene.runner).await, "50");
}

#[tokio::test]
async fn jobs_on_other_runners_change_nothing() {
    let scene = scene().await;
    let event = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut body = scene.event("workflow_job.in_progress.json", 1, 10);
        change(&mut body);
        body
    };
    let unknown = "ignored: on no runner of ours";
    for (body, why) in [
        (event(&|body| body["workflow_job"]["runner_id"] = json!(999_999)), unknown),
        (event(&|body| body["workflow_job"]["runner_name"] = json!("another")), unknown),
        (event(&|body| body["workflow_job"]["runner_id"] = json!(null)), "processed: in progress"),
        (
            event(&|body| body["installation"]["id"] = json!(1)),
            "ignored: of an installation that is not ours",
        ),
        (payload("workflow_job.in_progress.old.json"), unknown),
    ] {
        let id = deliver_webhook(&scene.world, "workflow_job", &body).await;
        process_inbox(&scene.world).await;
        assert_eq!(outcome(&scene.world, id).await, why, "{body}");
    }
    let mut hosted = payload("workflow_job.in_progress.hosted.json");
    hosted["installation"]["id"] = json!(5_151_515);
    let id = deliver_webhook(&scene.world, "workflow_job", &hosted).await;
    process_inbox(&scene.world).await;
    assert_eq!(outcome(&scene.world, id).await, "ignored: on a machine of GitHub's own");
}

#[tokio::test]
async fn deliveries_that_fail_are_tried_again() {
    let scene = scene().await;
    let id =
        deliver_webhook(&scene.world, "workflow_job", &scene.event("workflow_job.in_progress.json", 1, 10))
            .await;
    sqlx::query("ALTER TABLE runner_events RENAME TO away").execute(scene.world.sql()).await.unwrap();
    process_inbox(&scene.world).await;
    assert!(outcome(&scene.world, id).await.starts_with("pending: "));
    sqlx::query("ALTER TABLE away RENAME TO runner_events").execute(scene.world.sql()).await.unwrap();
    scene.world.change("UPDATE webhook_inbox SET next_at = now() WHERE delivery_id = $1", id).await;
    process_inbox(&scene.world).await;
    assert_eq!(outcome(&scene.world, id).await, "processed: in progress");
    assert_eq!(scene.status_and_busy().await, ("active".to_owned(), true));
}
