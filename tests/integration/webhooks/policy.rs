//! Jobs that should not run where they run.

use github_twin::{Fault, FaultKind, JobStatus, RunnerChange};
use harness::team_draft;
use runtime::config::LabelEnforcement;
use serde_json::json;
use store::TeamDraft;

use super::{Scene, builder, deliver, look, outcome, scene};

/// Somebody gives the runner a label by hand, and a job that wants it comes; answers the job.
async fn strange_job(scene: &Scene) -> u64 {
    let control = scene.world.twin.control();
    let labels = ["team-red", "gpu-7", "self-hosted", "prod"];
    control.set_runner(scene.github_id, RunnerChange::labels(labels)).unwrap();
    let job = control.queue_job("acme/web", &["gpu-7", "prod"]).unwrap();
    control.start_job(job.id, scene.github_id).unwrap();
    look(&scene.world).await;
    job.id
}

fn status(scene: &Scene, job: u64) -> JobStatus {
    scene.world.twin.control().jobs().into_iter().find(|one| one.id == job).unwrap().status
}

async fn cancel(scene: &Scene) -> u64 {
    scheduler::cancel_workflow_runs::run(scene.world.scheduling()).await.unwrap()
}

/// Lets time pass for what is to be cancelled.
async fn hurry(scene: &Scene) {
    let sql = "UPDATE workflow_cancellations SET next_at = now() WHERE runner_id = $1";
    scene.world.change(sql, scene.runner).await;
}

#[tokio::test]
async fn a_label_the_runner_never_had_is_recorded() {
    let scene = Scene::start(builder().enforcement(LabelEnforcement::Audit), team_draft("red")).await;
    let job = strange_job(&scene).await;
    let alarms = scene.alarms("label_policy_violation_workflow").await;
    assert_eq!(alarms.len(), 1);
    assert_eq!((&alarms[0]["severity"], &alarms[0]["action_taken"]), (&json!("high"), &json!("none")));
    assert_eq!(alarms[0]["violation_data"]["labels_not_given"], json!(["prod"]));
    assert_eq!(alarms[0]["team_id"], json!(scene.red.id));
    assert_eq!(cancel(&scene).await, 0);
    assert_eq!(status(&scene, job), JobStatus::InProgress);
}

#[tokio::test]
async fn an_enforced_policy_cancels_the_run_even_if_github_refuses_at_first() {
    let scene = scene().await;
    let job = strange_job(&scene).await;
    let fault = Fault::once("POST", "cancel", FaultKind::Status { status: 409 });
    scene.world.twin.control().fault(fault).unwrap();
    assert_eq!(cancel(&scene).await, 0);
    assert_eq!(status(&scene, job), JobStatus::InProgress);
    assert_eq!(cancel(&scene).await, 0, "not at once again");

    hurry(&scene).await;
    assert_eq!(cancel(&scene).await, 1);
    assert_eq!(status(&scene, job), JobStatus::Completed);
    let told = "SELECT count(*) FROM audit_log WHERE event_type = 'workflow.cancel' AND success";
    assert_eq!(scene.world.count(told).await, 1);
    look(&scene.world).await;
    assert_eq!(scene.stands().await, ("active".to_owned(), false));
    assert_eq!(scene.alarms("label_policy_violation_workflow").await.len(), 1, "told once for each job");
}

#[tokio::test]
async fn a_run_that_cannot_be_cancelled_is_given_up_loudly() {
    let scene = scene().await;
    strange_job(&scene).await;
    let fault = Fault::new(FaultKind::Status { status: 409 }).on("POST", "cancel");
    scene.world.twin.control().fault(fault).unwrap();
    assert_eq!(cancel(&scene).await, 0);
    let often = "UPDATE workflow_cancellations SET attempts = 11, next_at = now() WHERE runner_id = $1";
    scene.world.change(often, scene.runner).await;
    assert_eq!(cancel(&scene).await, 1);
    assert_eq!(scene.alarms("workflow_not_cancelled").await[0]["severity"], "critical");
    assert_eq!(scene.world.twin.ledger().of("POST", "cancel").count(), 2);
}

#[tokio::test]
async fn nothing_is_asked_while_github_says_wait() {
    let scene = scene().await;
    let job = strange_job(&scene).await;
    let fault = FaultKind::SecondaryLimit { status: 429, retry_after: Some(30) };
    scene.world.twin.control().fault(Fault::once("POST", "cancel", fault)).unwrap();
    for _ in 0..3 {
        assert_eq!(cancel(&scene).await, 0);
        hurry(&scene).await;
    }
    assert_eq!(scene.world.twin.ledger().of("POST", "cancel").count(), 1);
    let spared = "SELECT attempts::text FROM workflow_cancellations WHERE runner_id = $1";
    assert_eq!(scene.world.text(spared, scene.runner).await, "0");
    assert_eq!(status(&scene, job), JobStatus::InProgress);
}

#[tokio::test]
async fn a_team_may_list_its_expected_jobs() {
    let draft = TeamDraft {
        allowed_repositories: vec!["acme/web*".into()],
        allowed_workflows: vec!["ci".into()],
        ..team_draft("red")
    };
    let scene = Scene::start(builder(), draft).await;
    let control = scene.world.twin.control();
    let job = control.queue_job("acme/other", &["gpu-7"]).unwrap();
    control.start_job(job.id, scene.github_id).unwrap();
    look(&scene.world).await;
    let alarms = scene.alarms("unexpected_job").await;
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0]["violation_data"]["repository"], "acme/other");
    let action = alarms[0]["action_taken"].as_str().unwrap();
    assert!(["cancellation_requested", "cancelled"].contains(&action), "{action}");
    assert_eq!(cancel(&scene).await, 1);
    assert_eq!(status(&scene, job.id), JobStatus::Completed);
}

#[tokio::test]
async fn an_expected_job_is_left_alone() {
    let draft = TeamDraft { allowed_repositories: vec!["acme/web".into()], ..team_draft("red") };
    let scene = Scene::start(builder(), draft).await;
    let control = scene.world.twin.control();
    let job = control.queue_job("acme/web", &["gpu-7"]).unwrap();
    control.start_job(job.id, scene.github_id).unwrap();
    look(&scene.world).await;
    assert!(scene.alarms("unexpected_job").await.is_empty());
    assert_eq!(cancel(&scene).await, 0);
}

#[tokio::test]
async fn admins_write_the_lists_and_get_their_errors() {
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
        let id = deliver(&scene.world, "workflow_job", &strange(file)).await;
        look(&scene.world).await;
        assert_eq!(outcome(&scene.world, id).await, "ignored: the runner is gone");
    }
    for event_type in ["label_policy_violation_workflow", "unexpected_job"] {
        let alarms = scene.alarms(event_type).await;
        assert_eq!(alarms.len(), 1, "{event_type} is told once");
        assert_eq!(alarms[0]["action_taken"], "none");
        assert_eq!(alarms[0]["runner_id"], json!(scene.runner));
    }
    assert_eq!(scene.stands().await, ("deleted".to_owned(), false));
    assert_eq!(scene.world.count("SELECT count(*) FROM workflow_cancellations").await, 0);

    let mut other = strange("workflow_job.completed.json");
    other["workflow_job"]["id"] = json!(8);
    other["workflow_job"]["runner_name"] = json!("another");
    let id = deliver(&scene.world, "workflow_job", &other).await;
    look(&scene.world).await;
    assert_eq!(outcome(&scene.world, id).await, "ignored: on no runner of ours");
    assert_eq!(scene.alarms("unexpected_job").await.len(), 1);
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
    deliver(&scene.world, "workflow_job", &of(2, 40, "acme/web")).await;
    look(&scene.world).await;
    let late = deliver(&scene.world, "workflow_job", &of(1, 20, "acme/other")).await;
    look(&scene.world).await;
    assert_eq!(outcome(&scene.world, late).await, "ignored: something newer is known");
    assert_eq!(scene.alarms("unexpected_job").await.len(), 1);
}
