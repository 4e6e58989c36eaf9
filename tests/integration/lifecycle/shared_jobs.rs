//! Jobs shared by several callers: ownership, cancelling, and the promise made to each caller.

use chrono::TimeDelta;
use domain::{InstallationId, JobKind, JobParams, Lane, Removal};
use github_twin::{Fault, FaultKind, RunnerChange};
use harness::{Person, World, eventually, team_draft, wait_until};
use operations::service_job;
use scheduler::unused;
use serde_json::json;
use uuid::Uuid;

use super::{Ours, Scene};

impl Scene {
    async fn hold_lane(&self, lane: &str, held: bool) {
        let (word, body) = if held { ("pause", json!({ "seconds": 600 })) } else { ("resume", json!({})) };
        let path = format!("/admin/queues/{lane}/{word}");
        self.world.post(&path, &self.root, &body).await.assert_status(200);
    }

    /// Requests the removal of a runner without waiting and returns the job.
    async fn request_removal(&self, runner: &Ours, who: &Person) -> Uuid {
        let answer = self.world.delete(&format!("/runners/{}", runner.id), who).await.assert_status(202);
        answer.body["job_id"].as_str().unwrap().parse().unwrap()
    }

    /// Lets the service find the runner unused and returns the removal job.
    async fn find_unused_runner(&self) -> Uuid {
        let mut parts = self.world.scheduler_parts();
        parts.sync.config_life = TimeDelta::minutes(59);
        assert_eq!(unused::run(parts).await.unwrap(), 1);
        let sql = "SELECT id FROM jobs WHERE kind = 'deprovision' AND finished_at IS NULL";
        sqlx::query_scalar(sql).fetch_one(self.world.sql()).await.unwrap()
    }

    /// Returns the number of additional waiters of a job.
    async fn waiters(&self, job: Uuid) -> String {
        self.world.text("SELECT joined::text FROM jobs WHERE id = $1", job).await
    }

    async fn wait_for_deletion(&self, runner: &Ours) {
        assert_eq!((self.github_runner(runner), self.status(runner).await.as_str()), (None, "deleted"));
    }
}

/// Creates Ada and Bob in one team.
async fn scene_with_two_users() -> (Scene, Person) {
    let world = World::start().await;
    let red = world.team(team_draft("red")).await;
    let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&red]).await);
    let root = world.admin().await;
    (Scene { world, ada, root }, bob)
}

#[tokio::test]
async fn only_admins_cancel_jobs_of_the_service() {
    let scene = Scene::new().await;
    let runner = scene.runner().await;
    scene.hold_lane("deprovision", true).await;
    let params = JobParams::Deprovision(Removal::Runner);
    let new = service_job(&InstallationId::default(), None, Some(runner.id.into()), params);
    // The job belongs to the runner's team: visible to Ada, but not hers.
    let team = "UPDATE jobs SET team_id = (SELECT team_id FROM runners WHERE id = runner_id) WHERE id = $1";
    scene.world.store().conn().await.unwrap().jobs().insert(&new).await.unwrap();
    scene.world.change(team, new.id.uuid()).await;

    let path = format!("/jobs/{}", new.id);
    scene.world.delete(&path, &scene.ada).await.refused(403, "admin_required");
    assert_eq!(scene.request_removal(&runner, &scene.ada).await, new.id.uuid(), "another caller may join");
    scene.world.delete(&path, &scene.ada).await.refused(403, "admin_required");
    assert_eq!(scene.world.job(&scene.ada, new.id.uuid()).await["state"], "queued");
    let tried = "SELECT sum(occurrences) FROM audit_log WHERE event_type = 'job.cancel' AND NOT success
        AND user_identity = 'ada@example.com'";
    assert_eq!(scene.world.count(tried).await, 2);
    assert_eq!(scene.world.delete(&path, &scene.root).await.assert_status(200).body["state"], "cancelled");
}

#[tokio::test]
async fn member_cancels_a_job_of_a_team_mate() {
    let (scene, bob) = scene_with_two_users().await;
    let runner = scene.runner().await;
    scene.hold_lane("deprovision", true).await;
    let job = scene.request_removal(&runner, &scene.ada).await;
    let answer = scene.world.delete(&format!("/jobs/{job}"), &bob).await.assert_status(200);
    assert_eq!(answer.body["state"], "cancelled");
    assert!(scene.github_runner(&runner).is_some());
}

#[tokio::test]
async fn unused_runner_is_removed_once_a_caller_joins() {
    let scene = Scene::new().await;
    let runner = scene.runner().await;
    scene.hold_lane("deprovision", true).await;
    let job = scene.find_unused_runner().await;
    // The runner is in use after all: a removal by the service would leave it alone.
    scene.change_on_github(&runner, RunnerChange::online());
    assert_eq!(scene.request_removal(&runner, &scene.ada).await, job);
    scene.hold_lane("deprovision", false).await;
    assert_eq!(scene.world.until_final(&scene.ada, job).await["state"], "succeeded");
    scene.wait_for_deletion(&runner).await;
    let told = "SELECT count(*) FROM audit_log WHERE event_type = 'runner.deprovision' AND success
        AND user_identity = 'ada@example.com' AND request_id IS NOT NULL AND event_data = '{\"joined\": true}'";
    assert_eq!(scene.world.count(told).await, 1, "the joining caller is audited as well");
}

#[tokio::test]
async fn unused_runner_is_removed_if_a_caller_joins_during_its_check() {
    let scene = Scene::new().await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::online());
    scene.world.twin.fault(Fault::once("GET", "runners/", FaultKind::Latency { ms: 1500 }));
    let job = scene.find_unused_runner().await;
    scene.world.fault_consumed().await;
    let path = format!("/runners/{}", runner.id);
    let answer = scene.world.ask("DELETE", &path).by(&scene.ada).header("prefer", "wait=20").send().await;
    assert_eq!(answer.assert_status(200).body["success"], true);
    scene.wait_for_deletion(&runner).await;
    assert_eq!(scene.world.job(&scene.ada, job).await["state"], "succeeded");
    assert_eq!(scene.world.count("SELECT count(*) FROM jobs WHERE kind = 'deprovision'").await, 1);
}

#[tokio::test]
async fn removal_continues_while_a_waiter_is_left() {
    let (scene, bob) = scene_with_two_users().await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::busy());
    scene.hold_lane("deprovision", true).await;
    let path = format!("/runners/{}", runner.id);
    let wait = || scene.world.ask("DELETE", &path).by(&scene.ada).header("prefer", "wait=20").send();
    let (waited, job) = tokio::join!(wait(), async {
        let open = "SELECT count(*) FROM jobs WHERE kind = 'deprovision'";
        wait_until("the job is there", || async { scene.world.count(open).await == 1 }).await;
        let job = scene.request_removal(&runner, &bob).await;
        scene.hold_lane("deprovision", false).await;
        job
    });
    waited.refused(409, "runner_busy");
    let left = scene.world.job(&bob, job).await;
    assert_eq!((&left["state"], &left["blocked_on"]), (&json!("queued"), &json!("busy")));
    assert_eq!(scene.waiters(job).await, "0", "only Bob waits for it now");

    let (one, other) = tokio::join!(wait(), wait());
    one.refused(409, "runner_busy");
    other.refused(409, "runner_busy");
    assert_eq!(
        (scene.world.job(&bob, job).await["state"].as_str(), scene.waiters(job).await),
        (Some("queued"), "0".into())
    );
    scene.change_on_github(&runner, RunnerChange::online());
    scene.world.make_due(Lane::Deprovision).await;
    assert_eq!(scene.world.until_final(&bob, job).await["state"], "succeeded");
    scene.wait_for_deletion(&runner).await;
}

#[tokio::test]
async fn removal_without_waiters_is_cancelled() {
    let (scene, bob) = scene_with_two_users().await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::busy());
    scene.hold_lane("deprovision", true).await;
    let path = format!("/runners/{}", runner.id);
    let wait = |who: Person| scene.world.ask("DELETE", &path).by(&who).header("prefer", "wait=20").send();
    let (one, other, ()) = tokio::join!(wait(scene.ada.clone()), wait(bob.clone()), async {
        let both = "SELECT count(*) FROM jobs WHERE kind = 'deprovision' AND joined = 1";
        wait_until("both wait", || async { scene.world.count(both).await == 1 }).await;
        scene.hold_lane("deprovision", false).await;
    });
    one.refused(409, "runner_busy");
    other.refused(409, "runner_busy");
    scene.wait_for_no_open_job().await;
    assert_eq!(scene.world.count("SELECT count(*) FROM jobs WHERE state = 'cancelled'").await, 1);
    assert!(scene.github_runner(&runner).is_some());
}

#[tokio::test]
async fn check_with_a_waiter_goes_ahead_of_its_lane() {
    let scene = Scene::new().await;
    let runner = scene.runner().await;
    scene.hold_lane("drift", true).await;
    let params = JobParams::DriftCheck { source: domain::Source::Sync };
    let new = service_job(&InstallationId::default(), None, Some(runner.id.into()), params);
    scene.world.store().conn().await.unwrap().jobs().insert(&new).await.unwrap();
    let open = || async {
        let open = scene.world.store().conn().await.unwrap().jobs().open(None, 10).await.unwrap();
        open.jobs.into_iter().find(|job| job.kind == JobKind::DriftCheck)
    };
    assert!(!open().await.unwrap().asked);
    let path = format!("/runners/{}/refresh", runner.id);
    let answer = scene.world.ask("POST", &path).by(&scene.ada).send().await.assert_status(202);
    assert_eq!(answer.body["job_id"], json!(new.id));
    assert!(open().await.unwrap().asked, "the waiter is kept when the queue is lost");
    scene.hold_lane("drift", false).await;
    eventually("it is done", || async { open().await.is_none().then_some(()) }).await;
}

#[tokio::test]
async fn refusals_are_recorded() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let eve = world.user("eve", &[]).await;
    let runner = scene.runner().await;
    let path = format!("/runners/{}", runner.id);
    world.delete(&path, &eve).await.refused(404, "not_found");
    world.ask("POST", &format!("{path}/refresh")).by(&eve).send().await.refused(404, "not_found");
    let job = scene.request_removal(&runner, &scene.ada).await;
    world.until_final(&scene.ada, job).await;
    world.delete(&path, &scene.ada).await.refused(409, "runner_deleted");

    let log =
        world.get(&format!("/audit-logs?runner={}", runner.id), &scene.root).await.assert_status(200).body;
    let rows: Vec<String> = log["logs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let who = row["user_identity"].as_str().unwrap_or("-").trim_end_matches("@example.com");
            format!("{} {who} {}", row["event_type"].as_str().unwrap(), row["success"])
        })
        .collect();
    let wanted = [
        "runner.deprovision ada false",
        "runner.deleted ada true",
        "runner.deprovision ada true",
        "runner.refresh eve false",
        "runner.deprovision eve false",
    ];
    assert_eq!(rows[..5], wanted);
    let first = &log["logs"][0];
    assert_eq!((&first["request_ip"], &first["team_name"]), (&json!("127.0.0.1"), &json!("red")));
    assert!(first["request_id"].is_string() && first["error_message"].is_string(), "{first}");
}
