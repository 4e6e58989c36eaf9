//! Runners whose labels are changed on GitHub.

use domain::{DriftResponse, DriftRules};
use github_twin::{Fault, FaultKind, RunnerChange};
use harness::{World, team_draft};
use store::TeamDraft;

use super::{ONE, Scene};

fn answering(drift_response: DriftResponse) -> TeamDraft {
    TeamDraft {
        drift_response,
        required_labels: vec!["Team-Red".into(), "linux".into()],
        ..team_draft("red")
    }
}

const DRIFT: &str = "label_drift_detected";

#[tokio::test]
async fn case_and_githubs_own_labels_are_no_drift() {
    let scene = Scene::with(World::builder(), answering(DriftResponse::Delete)).await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::online());
    scene.change_on_github(&runner, RunnerChange::labels(["TEAM-RED", "Linux", "self-hosted", "X64"]));
    let passed = scene.run_sync().await;
    assert_eq!((passed.result, passed.sent), ("ok", 0));
    assert_eq!(
        (scene.status(&runner).await.as_str(), scene.count_security_events(DRIFT).await),
        ("active", 0)
    );
}

#[tokio::test]
async fn idle_runner_that_drifted_is_deleted() {
    let scene = Scene::with(World::builder(), answering(DriftResponse::Delete)).await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::online());
    scene.change_on_github(&runner, RunnerChange::labels(["team-red", "production"]));
    assert_eq!(scene.run_sync().await.sent, 1);
    scene.wait_for_status(&runner, "deleted").await;
    assert!(scene.github_runner(&runner).is_none());
    assert_eq!(scene.count_security_events(DRIFT).await, 1);
    let shown = scene.world.get(&format!("/runners/{}", runner.id), &scene.ada).await.assert_status(200).body;
    assert_eq!(shown["events"][0]["event_type"], "runner.deleted");
    assert_eq!(shown["events"][0]["event_data"]["why"], "its labels were changed");
    let alarm = scene.world.get("/admin/security-events", &scene.root).await.body["events"][0].clone();
    assert_eq!(alarm["violation_data"]["found"]["extra"][0], "production");
    assert_eq!((&alarm["action_taken"], &alarm["severity"]), (&"removed".into(), &"high".into()));
    assert_eq!(alarm["action_detail"], "The runner was removed from GitHub.");
}

#[tokio::test]
async fn busy_runner_with_drift_is_reported_once_until_idle() {
    let scene = Scene::with(World::builder(), answering(DriftResponse::Delete)).await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::busy());
    scene.change_on_github(&runner, RunnerChange::labels(["team-red", "production"]));
    assert_eq!(scene.run_sync().await.sent, 1);
    scene.wait_for_no_open_job().await;
    assert_eq!((scene.run_sync().await.sent, scene.count_deletions()), (0, 0));
    assert_eq!(
        (scene.status(&runner).await.as_str(), scene.count_security_events(DRIFT).await),
        ("active", 1)
    );

    scene.change_on_github(&runner, RunnerChange::online());
    assert_eq!(scene.run_sync().await.sent, 1);
    scene.wait_for_status(&runner, "deleted").await;
    assert_eq!(scene.count_security_events(DRIFT).await, 1, "one event for one drift");
}

#[tokio::test]
async fn deletion_refused_by_github_is_not_recorded_as_done() {
    let rules = DriftRules { delete_busy: true, ..DriftRules::default() };
    let scene = Scene::with(World::builder().drift(rules), answering(DriftResponse::Delete)).await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::busy());
    scene.change_on_github(&runner, RunnerChange::labels(["team-red", "production"]));
    scene.run_sync().await;
    let refused =
        "SELECT count(*) FROM jobs WHERE kind = 'drift_check' AND state = 'queued' AND blocked_on = 'busy'";
    harness::wait_until("a refusal", || async { scene.world.count(refused).await == 1 }).await;
    let requested = "SELECT count(*) FROM security_events WHERE action_taken = 'removal_requested'";
    let removed = "SELECT count(*) FROM security_events WHERE action_taken = 'removed'";
    assert_eq!((scene.world.count(requested).await, scene.world.count(removed).await), (1, 0));
    assert_eq!(scene.status(&runner).await, "active");

    scene.change_on_github(&runner, RunnerChange::online());
    scene.world.twin.fault(Fault::once("DELETE", ONE, FaultKind::Status { status: 502 }));
    scene.world.make_due(domain::Lane::Drift).await;
    scene.wait_for_status(&runner, "deleted").await;
    assert!(scene.github_runner(&runner).is_none());
    assert_eq!((scene.count_deletions(), scene.count_security_events(DRIFT).await), (3, 1));
    assert_eq!((scene.world.count(requested).await, scene.world.count(removed).await), (0, 1));
}

#[tokio::test]
async fn drifted_labels_are_restored_if_the_team_is_so_configured() {
    let scene = Scene::with(World::builder(), answering(DriftResponse::Repair)).await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::online());
    for extra in ["one", "two"] {
        scene.change_on_github(&runner, RunnerChange::labels(["linux", extra]));
        assert_eq!(scene.run_sync().await.sent, 1);
        scene.wait_for_no_open_job().await;
        let labels: Vec<String> =
            scene.github_runner(&runner).unwrap().labels.into_iter().map(|label| label.name).collect();
        assert_eq!(labels, ["linux", "Team-Red"]);
    }
    assert_eq!(scene.count_security_events(DRIFT).await, 2, "two drifts");
    let restored = "SELECT count(*) FROM security_events WHERE action_taken = 'labels_restored'";
    assert_eq!(scene.world.count(restored).await, 2);
    assert_eq!((scene.run_sync().await.sent, scene.count_deletions()), (0, 0));
    assert_eq!(scene.status(&runner).await, "active");
}

#[tokio::test]
async fn drift_is_only_recorded_if_the_team_is_so_configured() {
    let scene = Scene::with(World::builder(), answering(DriftResponse::Observe)).await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::online());
    scene.change_on_github(&runner, RunnerChange::labels(["team-red", "linux", "extra"]));
    assert_eq!(scene.run_sync().await.sent, 1);
    scene.wait_for_no_open_job().await;
    assert_eq!((scene.run_sync().await.sent, scene.count_security_events(DRIFT).await), (0, 1));
    // The first drift ended; the next one is a new event.
    scene.change_on_github(&runner, RunnerChange::labels(["team-red", "linux"]));
    assert_eq!(scene.run_sync().await.sent, 1);
    scene.wait_for_no_open_job().await;
    scene.change_on_github(&runner, RunnerChange::labels(["team-red", "linux", "extra"]));
    scene.run_sync().await;
    scene.wait_for_no_open_job().await;
    assert_eq!((scene.count_security_events(DRIFT).await, scene.count_deletions()), (2, 0));
}

#[tokio::test]
async fn runner_with_our_id_and_another_name_is_not_touched() {
    let scene = Scene::new().await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::online());
    scene.world.change("UPDATE runners SET name = 'was-called-so' WHERE id = $1", runner.id).await;
    assert_eq!(scene.run_sync().await.sent, 1);
    scene.wait_for_no_open_job().await;
    assert_eq!(
        (scene.run_sync().await.sent, scene.count_security_events("runner_name_mismatch").await),
        (0, 1)
    );
    let path = format!("/runners/{}", runner.id);
    let asked = scene.world.ask("DELETE", &path).by(&scene.ada).header("prefer", "wait=20");
    asked.send().await.refused(502, "github_refused");
    assert_eq!((scene.count_deletions(), scene.status(&runner).await.as_str()), (0, "pending"));
    assert!(scene.github_runner(&runner).is_some());
}
