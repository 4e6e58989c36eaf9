//! Workflow jobs that run on runners they must not use.

use github_twin::{Fault, FaultKind, JobStatus, RunnerChange};
use harness::team_draft;
use runtime::config::LabelEnforcement;
use serde_json::json;
use store::TeamDraft;

use super::{Scene, builder, deliver_webhook, outcome, process_inbox, scene};

/// Adds a label to a runner on GitHub and queues a job that requires it; returns the job's id.
async fn queue_job_with_unknown_label(scene: &Scene) -> u64 {
    let control = scene.world.twin.control();
    let labels = ["team-red", "gpu-7", "self-hosted", "prod"];
    control.set_runner(scene.github_id, RunnerChange::labels(labels)).unwrap();
    let job = control.queue_job("acme/web", &["gpu-7", "prod"]).unwrap();
    control.start_job(job.id, scene.github_id).unwrap();
    process_inbox(&scene.world).await;
    job.id
}

fn status(scene: &Scene, job: u64) -> JobStatus {
    scene.world.twin.control().jobs().into_iter().find(|one| one.id == job).unwrap().status
}

async fn run_cancellations(scene: &Scene) -> u64 {
    scheduler::cancel_workflow_runs::run(scene.world.scheduler_parts()).await.unwrap()
}

/// Makes pending cancellations due.
async fn make_cancellations_due(scene: &Scene) {
    let sql = "UPDATE workflow_cancellations SET next_at = now() WHERE runner_id = $1";
    scene.world.change(sql, scene.runner).await;
}

#[tokio::test]
async fn label_the_runner_never_had_is_recorded() {
    let scene = Scene::start(builder().enforcement(LabelEnforcement::Audit), team_draft("red")).await;
    let job = queue_job_with_unknown_label(&scene).await;
    let alarms = scene.security_events("label_policy_violation_workflow").await;
    assert_eq!(alarms.len(), 1);
    assert_eq!((&alarms[0]["severity"], &alarms[0]["action_taken"]), (&json!("high"), &json!("none")));
    assert_eq!(alarms[0]["violation_data"]["labels_not_given"], json!(["prod"]));
    assert_eq!(alarms[0]["team_id"], json!(scene.red.id));
    assert_eq!(run_cancellations(&scene).await, 0);
    assert_eq!(status(&scene, job), JobStatus::InProgress);
}

#[tokio::test]
async fn enforced_policy_cancels_the_run_even_if_github_refuses_at_first() {
    let scene = scene().await;
    let job = queue_job_with_unknown_label(&scene).await;
    let fault = Fault::once("POST", "cancel", FaultKind::Status { status: 409 });
    scene.world.twin.control().fault(fault).unwrap();
    assert_eq!(run_cancellations(&scene).await, 0);
    assert_eq!(status(&scene, job), JobStatus::InProgress);
    assert_eq!(run_cancellations(&scene).await, 0, "not repeated at once");

    make_cancellations_due(&scene).await;
    assert_eq!(run_cancellations(&scene).await, 1);
    assert_eq!(status(&scene, job), JobStatus::Completed);
    let told = "SELECT count(*) FROM audit_log WHERE event_type = 'workflow.cancel' AND success";
    assert_eq!(scene.world.count(told).await, 1);
    process_inbox(&scene.world).await;
    assert_eq!(scene.status_and_busy().await, ("active".to_owned(), false));
    assert_eq!(
        scene.security_events("label_policy_violation_workflow").await.len(),
        1,
        "recorded once for each job"
    );
}

#[tokio::test]
async fn run_that_cannot_be_cancelled_raises_an_alarm() {
    let scene = scene().await;
    queue_job_with_unknown_label(&scene).await;
    let fault = Fault::new(FaultKind::Status { status: 409 }).on("POST", "cancel");
    scene.world.twin.control().fault(fault).unwrap();
    assert_eq!(run_cancellations(&scene).await, 0);
    let often = "UPDATE workflow_cancellations SET attempts = 11, next_at = now() WHERE runner_id = $1";
    scene.world.change(often, scene.runner).await;
    assert_eq!(run_cancellations(&scene).await, 1);
    assert_eq!(scene.security_events("workflow_not_cancelled").await[0]["severity"], "critical");
    assert_eq!(scene.world.twin.ledger().of("POST", "cancel").count(), 2);
}

#[tokio::test]
async fn no_cancellation_is_sent_during_a_pause() {
    let scene = scene().await;
    let job = queue_job_with_unknown_label(&scene).await;
    let fault = FaultKind::SecondaryLimit { status: 429, retry_after: Some(30) };
    scene.world.twin.control().fault(Fault::once("POST", "cancel", fault)).unwrap();
    for _ in 0..3 {
        assert_eq!(run_cancellations(&scene).await, 0);
        make_cancellations_due(&scene).await;
    }
    assert_eq!(scene.world.twin.ledger().of("POST", "cancel").count(), 1);
    let spared = "SELECT attempts::text FROM workflow_cancellations WHERE runner_id = $1";
    assert_eq!(scene.world.text(spared, scene.runner).await, "0");
    assert_eq!(status(&scene, job), JobStatus::InProgress);
}

#[tokio::test]
async fn team_may_list_its_expected_jobs() {
    let draft = TeamDraft {
        allowed_repositories: vec!["acme/web*".into()],
        allowed_workflows: vec!["ci".into()],
        ..team_draft("red")
    };
    let scene = Scene::start(builder(), draft).await;
    let control = scene.world.twin.control();
    let job = control.queue_job("acme/other", &["gpu-7"]).unwrap();
    control.start_job(job.id, scene.github_id).unwrap();
    process_inbox(&scene.world).await;
    let alarms = scene.security_events("unexpected_job").await;
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0]["violation_data"]["repository"], "acme/other");
    let action = alarms[0]["action_taken"].as_str().unwrap();
    assert!(["cancellation_requested", "cancelled"].contains(&action), "{action}");
    assert_eq!(run_cancellations(&scene).await, 1);
    assert_eq!(status(&scene, job.id), JobStatus::Completed);
}

#[tokio::test]
async fn expected_job_is_left_alone() {
    let draft = TeamDraft { allowed_repositories: vec!["acme/web".into()], ..team_draft("red") };
    let scene = Scene::start(builder(), draft).await;
    let control = scene.world.twin.control();
    let job = control.queue_job("acme/web", &["gpu-7"]).unwrap();
    control.start_job(job.id, scene.github_id).unwrap();
    process_inbox(&scene.world).await;
    assert!(scene.security_events("unexpected_job").await.is_empty());
    assert_eq!(run_cancellations(&scene).await, 0);
}

#[tokio::test]
async fn admins_edit_expected_jobs_and_get_validation_errors() {
    let world = builder().start().await;
    let root = world.admin().await;
    let body = json!({ "name": "blue", "allowed_repositories": ["acme/*"], "allowed_workflows": ["CI*"] });
    let team = world.post("/admin/teams", &root, &body).await.assert_status(201).body;
    assert_eq!(team["allowed_repositories"], json!(["acme/*"]));
    let path = format!("/admin/teams/{}", team["id"].as_str().unwrap());
    let changed =
        world.patch(&path, &root, &json!({ "allowed_workflows": [] })).await.assert_status(200).body;
    assert_eq!(
        (&changed["allowed_workflows"], &changed["allowed_repositories"]),
        (&json!([]), &json!(["acme/*"]))
    );
    let wrong = json!({ "allowed_repositories": ["acme/*", "acme"], "allowed_workflows": [" x"] });
    let refused = world.patch(&path, &root, &wrong).await.refused(422, "validation_failed");
    assert_eq!(refused.pointers(), ["/allowed_repositories/1", "/allowed_workflows/0"]);
}

#[tokio::test]
async fn violations_after_the_runners_end_are_reported() {
    let draft = TeamDraft { allowed_repositories: vec!["acme/web".into()], ..team_draft("red") };
    let scene = Scene::start(builder(), draft).await;
    let gone = "UPDATE runners SET status = 'deleted', deleted_at = now() WHERE id = $1";
    scene.world.change(gone, scene.runner).await;
    let strange = |file: &str| {
        let mut body = scene.event(file, 7, 30);
        body["repository"]["full_name"] = json!("acme/other");
        body["workflow_job"]["labels"] = json!(["gpu-7", "prod"]);
        body
    };
    for file in ["workflow_job.completed.json", "workflow_job.in_progress.json"] {
        let id = deliver_webhook(&scene.world, "workflow_job", &strange(file)).await;
        process_inbox(&scene.world).await;
        assert_eq!(outcome(&scene.world, id).await, "ignored: the runner is gone");
    }
    for event_type in ["label_policy_violation_workflow", "unexpected_job"] {
        let alarms = scene.security_events(event_type).await;
        assert_eq!(alarms.len(), 1, "{event_type} is recorded once");
        assert_eq!(alarms[0]["action_taken"], "none");
        assert_eq!(alarms[0]["runner_id"], json!(scene.runner));
    }
    assert_eq!(scene.status_and_busy().await, ("deleted".to_owned(), false));
    assert_eq!(scene.world.count("SELECT count(*) FROM workflow_cancellations").await, 0);

    let mut other = strange("workflow_job.completed.json");
    other["workflow_job"]["id"] = json!(8);
    other["workflow_job"]["runner_name"] = json!("another");
    let id = deliver_webhook(&scene.world, "workflow_job", &other).await;
    process_inbox(&scene.world).await;
    assert_eq!(outcome(&scene.world, id).await, "ignored: on no runner of ours");
    assert_eq!(scene.security_events("unexpected_job").await.len(), 1);
}

#[tokio::test]
async fn violations_that_arrive_after_the_next_job_are_reported() {
    let draft = TeamDraft { allowed_repositories: vec!["acme/web".into()], ..team_draft("red") };
    let scene = Scene::start(builder(), draft).await;
    let of = |job: i64, second: u32, repository: &str| {
        let mut body = scene.event("workflow_job.completed.json", job, second);
        body["repository"]["full_name"] = json!(repository);
        body["workflow_job"]["labels"] = json!(["gpu-7"]);
        body
    };
    deliver_webhook(&scene.world, "workflow_job", &of(2, 40, "acme/web")).await;
    process_inbox(&scene.world).await;
    let late = deliver_webhook(&scene.world, "workflow_job", &of(1, 20, "acme/other")).await;
    process_inbox(&scene.world).await;
    assert_eq!(outcome(&scene.world, late).await, "ignored: something newer is known");
    assert_eq!(scene.security_events("unexpected_job").await.len(), 1);
}
