//! `DELETE /runners/{id}` and `POST /runners/{id}/refresh`.

use domain::Lane;
use github_twin::RunnerChange;
use harness::{ApiResponse, Bearer, World, provision_body, team_draft};
use uuid::Uuid;

use super::{ONE, Ours, Scene};

impl Scene {
    async fn request_and_wait(
        &self,
        method: &str,
        runner: Uuid,
        end: &str,
        who: &impl Bearer,
    ) -> ApiResponse {
        let path = format!("/runners/{runner}{end}");
        self.world.ask(method, &path).by(who).header("prefer", "wait=20").send().await
    }

    async fn remove(&self, runner: &Ours) -> ApiResponse {
        self.request_and_wait("DELETE", runner.id, "", &self.ada).await
    }

    async fn refresh(&self, runner: &Ours) -> ApiResponse {
        self.request_and_wait("POST", runner.id, "/refresh", &self.ada).await
    }

    /// Makes every check old enough for the next one.
    async fn age_checks(&self) {
        let older = "UPDATE jobs SET finished_at = finished_at - interval '11 s' WHERE kind = 'drift_check'";
        sqlx::query(older).execute(self.world.sql()).await.unwrap();
    }
}

#[tokio::test]
async fn runner_is_removed_while_the_caller_waits() {
    let scene = Scene::new().await;
    let runner = scene.runner().await;
    let answer = scene.remove(&runner).await.assert_status(200);
    assert_eq!(
        (&answer.body["runner_id"], &answer.body["success"]),
        (&runner.id.to_string().into(), &true.into())
    );
    assert_eq!(
        (&answer.body["runner_name"], answer.header("preference-applied")),
        (&runner.name.as_str().into(), "wait=20")
    );
    assert_eq!((scene.github_runner(&runner), scene.status(&runner).await.as_str()), (None, "deleted"));
    assert_eq!(scene.status_history(&runner).await.last().unwrap(), "pending deleted job");
    assert_eq!(scene.world.count("SELECT count(*) FROM credentials WHERE ciphertext IS NOT NULL").await, 0);
    scene.remove(&runner).await.refused(409, "runner_deleted");
    scene.refresh(&runner).await.refused(409, "runner_deleted");
}

#[tokio::test]
async fn all_callers_get_the_same_removal_job() {
    let scene = Scene::new().await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::busy());
    let path = format!("/runners/{}", runner.id);
    let first = scene.world.delete(&path, &scene.ada).await.assert_status(202);
    let job: Uuid = first.body["job_id"].as_str().unwrap().parse().unwrap();
    harness::wait_until("busy", || async { scene.world.job(&scene.ada, job).await["blocked_on"] == "busy" })
        .await;
    let second = scene.world.delete(&path, &scene.root).await.assert_status(202);
    assert_eq!(
        (&first.body["job_id"], &first.body["runner_id"]),
        (&second.body["job_id"], &second.body["runner_id"])
    );
    scene.remove(&runner).await.refused(409, "runner_busy");
    assert_eq!(
        scene.world.job(&scene.ada, job).await["state"],
        "queued",
        "the job of another caller continues"
    );

    scene.change_on_github(&runner, RunnerChange::online());
    scene.world.make_due(Lane::Deprovision).await;
    assert_eq!(scene.world.until_final(&scene.ada, job).await["state"], "succeeded");
    assert_eq!(scene.github_runner(&runner), None);
    assert_eq!(scene.world.count("SELECT count(*) FROM jobs WHERE kind = 'deprovision'").await, 1);
}

#[tokio::test]
async fn waiting_for_a_busy_runner_is_refused_and_cancels_the_removal() {
    let scene = Scene::new().await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::busy());
    scene.remove(&runner).await.refused(409, "runner_busy");
    scene.wait_for_no_open_job().await;
    let cancelled = "SELECT count(*) FROM jobs WHERE kind = 'deprovision' AND state = 'cancelled'";
    assert_eq!(scene.world.count(cancelled).await, 1);
    assert!(scene.github_runner(&runner).is_some());
}

#[tokio::test]
async fn only_its_team_and_its_owner_may_act_on_a_runner() {
    let world = World::start().await;
    let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&red]).await);
    let (eve, root) = (world.user("eve", &[&blue]).await, world.admin().await);
    let scene = Scene { world, ada, root };
    let runner = scene.runner().await;
    for (method, end) in [("DELETE", ""), ("POST", "/refresh")] {
        scene.request_and_wait(method, runner.id, end, &eve).await.refused(404, "not_found");
        scene.request_and_wait(method, Uuid::now_v7(), end, &bob).await.refused(404, "not_found");
    }
    scene.request_and_wait("POST", runner.id, "/refresh", &bob).await.assert_status(200);
    scene.request_and_wait("DELETE", runner.id, "", &bob).await.assert_status(200);
}

#[tokio::test]
async fn runners_of_a_deactivated_team_are_synced_and_removed() {
    let scene = Scene::new().await;
    let (kept, removed) = (scene.runner().await, scene.runner().await);
    sqlx::query("UPDATE teams SET is_active = false, deactivation_reason = 'over'")
        .execute(scene.world.sql())
        .await
        .unwrap();
    scene.world.jit(&scene.ada, &provision_body("ci")).await.refused(403, "team_inactive");
    scene.change_on_github(&kept, RunnerChange::online());
    assert_eq!(scene.run_sync().await.changed, 1);
    assert_eq!(scene.status(&kept).await, "active", "a busy runner is not removed");
    scene.change_on_github(&kept, RunnerChange::labels(["team-red", "production"]));
    assert_eq!(scene.run_sync().await.sent, 1);
    scene.wait_for_status(&kept, "deleted").await;
    scene.request_and_wait("DELETE", removed.id, "", &scene.root).await.assert_status(200);
    assert!(scene.github_runner(&removed).is_none());
}

#[tokio::test]
async fn removal_of_a_runner_being_created_is_refused_until_its_job_is_cancelled() {
    let scene = Scene::with(World::builder().workers(0), team_draft("red")).await;
    let asked = scene.world.provision(&scene.ada, provision_body("ci")).await;
    scene.request_and_wait("DELETE", asked.runner, "", &scene.ada).await.refused(409, "runner_busy");
    scene.world.delete(&format!("/jobs/{}", asked.job), &scene.ada).await.assert_status(200);
    scene.request_and_wait("DELETE", asked.runner, "", &scene.ada).await.refused(409, "runner_deleted");
}

#[tokio::test]
async fn refresh_returns_the_current_state() {
    let scene = Scene::new().await;
    let runner = scene.runner().await;
    assert_eq!(scene.refresh(&runner).await.assert_status(200).body["status"], "pending");
    scene.change_on_github(&runner, RunnerChange::busy());
    scene.age_checks().await;
    let body = scene.refresh(&runner).await.assert_status(200).body;
    assert_eq!((&body["status"], &body["busy"]), (&"active".into(), &true.into()));
    scene.world.twin.remove_runner(runner.github).unwrap();
    scene.age_checks().await;
    assert_eq!(scene.refresh(&runner).await.assert_status(200).body["status"], "deleted");
    assert_eq!(
        scene.status_history(&runner).await[2..],
        ["pending active refresh", "active deleted refresh"]
    );
    assert_eq!(scene.count_requests("GET", ONE), 3);
}

#[tokio::test]
async fn repeated_refresh_returns_the_last_check() {
    let scene = Scene::new().await;
    let runner = scene.runner().await;
    for _ in 0..20 {
        assert_eq!(scene.refresh(&runner).await.assert_status(200).body["status"], "pending");
    }
    assert_eq!(scene.count_requests("GET", ONE), 1);
    scene.age_checks().await;
    scene.refresh(&runner).await.assert_status(200);
    assert_eq!(scene.count_requests("GET", ONE), 2);
}

#[tokio::test]
async fn new_runner_is_not_considered_gone() {
    let scene = Scene::new().await;
    let runner = scene.runner().await;
    scene.world.change("UPDATE runners SET registered_at = now() WHERE id = $1", runner.id).await;
    scene.world.twin.remove_runner(runner.github).unwrap();
    assert_eq!(scene.refresh(&runner).await.assert_status(200).body["status"], "pending");
}

#[tokio::test]
async fn later_runner_of_the_same_name_is_not_touched() {
    for method in ["DELETE", "POST"] {
        let scene = Scene::new().await;
        let runner = scene.runner().await;
        scene.world.twin.remove_runner(runner.github).unwrap();
        let spec = github_twin::RunnerSpec {
            name: runner.name.clone(),
            scope: None,
            labels: vec!["theirs".into()],
            ephemeral: false,
            state: RunnerChange::online(),
        };
        let heir = scene.world.twin.create_runner(spec).unwrap();
        let end = if method == "POST" { "/refresh" } else { "" };
        scene.request_and_wait(method, runner.id, end, &scene.ada).await.assert_status(200);
        assert_eq!(scene.status(&runner).await, "deleted");
        assert_eq!(scene.world.twin.runner(&runner.name), Some(heir));
        assert_eq!(scene.count_deletions(), 0);
    }
}

#[tokio::test]
async fn busy_runner_is_checked_less_and_less_often() {
    let scene = Scene::new().await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::busy());
    let asked =
        scene.world.delete(&format!("/runners/{}", runner.id), &scene.ada).await.assert_status(202).body;
    let job: Uuid = asked["job_id"].as_str().unwrap().parse().unwrap();
    let gap = "SELECT extract(epoch FROM run_at - updated_at)::float8 FROM jobs
        WHERE id = $1 AND state = 'queued' AND snoozes = $2";
    for (nth, seconds) in [30.0, 60.0, 120.0].into_iter().enumerate() {
        let nth = i32::try_from(nth).unwrap() + 1;
        let waits: f64 = harness::eventually("it waits", || async {
            sqlx::query_scalar(gap).bind(job).bind(nth).fetch_optional(scene.world.sql()).await.unwrap()
        })
        .await;
        assert!((seconds * 0.8..=seconds * 1.2).contains(&waits), "{nth}: {waits}");
        harness::wait_until("the queue has it back", || async {
            let standing = scene.world.queue().position(job.into()).await.unwrap();
            matches!(standing.map(|standing| standing.place), Some(queue::JobPlace::Delayed { .. }))
        })
        .await;
        scene.world.make_due(Lane::Deprovision).await;
    }
    assert_eq!(scene.count_deletions(), 0, "a lookup is enough");
}

#[tokio::test]
async fn reused_name_finds_no_runner() {
    let scene = Scene::new().await;
    let blue = scene.world.team(team_draft("blue")).await;
    let bob = scene.world.user("bob", &[&blue]).await;
    let exact = || serde_json::json!({ "runner_name": "builder-1" });
    let first = scene.world.provision(&scene.ada, exact()).await;
    scene.world.until_final(&scene.ada, first.job).await;
    scene.request_and_wait("DELETE", first.runner, "", &scene.ada).await.assert_status(200);
    let second = scene.world.provision(&bob, exact()).await;
    scene.world.until_final(&bob, second.job).await;
    let heir = scene.world.twin.runner("builder-1").unwrap();
    let deletions = scene.count_deletions();

    for (method, end) in [("DELETE", ""), ("POST", "/refresh")] {
        scene.request_and_wait(method, first.runner, end, &scene.ada).await.refused(409, "runner_deleted");
        scene.request_and_wait(method, second.runner, end, &scene.ada).await.refused(404, "not_found");
    }
    assert_eq!((scene.run_sync().await.sent, scene.count_deletions()), (0, deletions));
    assert_eq!(scene.world.twin.runner("builder-1"), Some(heir));
    assert_eq!(scene.world.text("SELECT status FROM runners WHERE id = $1", second.runner).await, "pending");
}
