//! The restore drill: the database goes back to an hour ago, and Redis is empty. What is ours on GitHub is found by its
//! name or id and kept or removed; nothing else is touched; quotas and requests work again.

use domain::InstallationId;
use github_twin::{RunnerChange, RunnerSpec};
use harness::{Accepted, Database, Person, World, provision_body, team_draft, wait_until};
use scheduler::{
    expire, reap, requeue,
    sync::{PageCache, SyncResult},
};
use serde_json::json;
use store::TeamDraft;
use uuid::Uuid;

const QUOTA: i32 = 3;

/// A team with one member and a quota of three runners.
struct Scene {
    world: World,
    ada: Person,
    root: Person,
}

/// A runner of ours.
struct Ours {
    id: Uuid,
    job: Uuid,
    name: String,
}

impl Scene {
    async fn new() -> Self {
        let world = World::builder().workers(0).start().await;
        let red = world.team(TeamDraft { max_runners: Some(QUOTA), ..team_draft("red") }).await;
        let (ada, root) = (world.user("ada", &[&red]).await, world.admin().await);
        Self { world, ada, root }
    }

    /// Runs all accepted jobs, then stops the worker.
    async fn work(&self) {
        let worker = self.world.start_worker();
        self.wait_for_no_open_job().await;
        worker.stop().await;
    }

    async fn wait_for_no_open_job(&self) {
        wait_until("no open job", || async {
            self.world.count("SELECT count(*) FROM jobs WHERE finished_at IS NULL").await == 0
        })
        .await;
    }

    async fn request(&self) -> Accepted {
        self.world.provision(&self.ada, provision_body("ci")).await
    }

    async fn runner(&self) -> Ours {
        let Accepted { job, runner, .. } = self.request().await;
        self.work().await;
        self.made(job, runner).await
    }

    async fn made(&self, job: Uuid, id: Uuid) -> Ours {
        let done = self.world.job(&self.ada, job).await;
        assert_eq!(done["state"], "succeeded", "{done}");
        Ours { id, job, name: done["runner_name"].as_str().unwrap().to_owned() }
    }

    /// Changes the state of a runner on GitHub.
    fn change(&self, name: &str, change: RunnerChange) {
        self.world.twin.set_runner(self.world.twin.runner(name).unwrap().id, change).unwrap();
    }

    fn end(&self, name: &str) {
        self.world.twin.remove_runner(self.world.twin.runner(name).unwrap().id).unwrap();
    }

    /// Returns a copy of the database as it is now.
    async fn back_up(&self) -> Database {
        let backup = self.world.database().back_up().await;
        self.reconnect().await;
        backup
    }

    /// Restores the database to the backup and empties Redis.
    async fn restore_at_once(&self, backup: Database) {
        self.world.database().restore(backup).await;
        self.world.redis().flush().await;
        self.reconnect().await;
    }

    /// Waits until the pools of the api and of the test have replaced the connections that were closed.
    async fn reconnect(&self) {
        wait_until("the database is reached again", || async {
            for _ in 0..20 {
                let asked = self.world.get("/jobs", &self.ada).await.status == 200;
                let read = match self.world.store().conn().await {
                    Ok(mut conn) => conn.sync_runs().statuses().await.is_ok(),
                    Err(_) => false,
                };
                if !(asked && read) {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Restores the database to the backup, as it is an hour later, and empties Redis.
    async fn restore(&self, backup: Database) {
        self.restore_at_once(backup).await;
        for later in [
            "UPDATE jobs SET created_at = created_at - interval '1 hour', run_at = run_at - interval '1 hour',
                deadline_at = deadline_at - interval '1 hour'",
            "UPDATE runners SET created_at = created_at - interval '1 hour', updated_at = updated_at - interval '1 hour',
                registered_at = registered_at - interval '1 hour'",
            "UPDATE github_calls SET started_at = started_at - interval '1 hour'",
        ] {
            sqlx::query(later).execute(self.world.sql()).await.unwrap();
        }
    }

    async fn run_sync(&self) -> SyncResult {
        let parts = self.world.scheduler_parts();
        let passed = scheduler::sync::run(&parts, &InstallationId::default(), &mut PageCache::default())
            .await
            .unwrap();
        assert_eq!((passed.result, passed.held), ("ok", 0));
        passed
    }

    /// Runs the scheduler's steps that a restored service needs, with a worker for the jobs they order.
    async fn recover(&self) {
        let parts = self.world.scheduler_parts();
        requeue::run(&parts, &mut requeue::EpochTracker::default()).await.unwrap();
        expire::run(self.world.scheduler_parts()).await.unwrap();
        let worker = self.world.start_worker();
        for _ in 0..3 {
            self.run_sync().await;
            self.look_up().await;
        }
        worker.stop().await;
    }

    /// Makes every look-up of a suspected call due and runs it.
    async fn look_up(&self) {
        let due = "UPDATE github_calls SET next_reap_at = now() WHERE next_reap_at IS NOT NULL";
        sqlx::query(due).execute(self.world.sql()).await.unwrap();
        reap::run(self.world.scheduler_parts()).await.unwrap();
        self.wait_for_no_open_job().await;
    }

    async fn status(&self, id: Uuid) -> String {
        self.world.text("SELECT status FROM runners WHERE id = $1", id).await
    }

    fn on_github(&self) -> Vec<String> {
        let mut names: Vec<String> = self.world.twin.runners().into_iter().map(|one| one.name).collect();
        names.sort();
        names
    }

    async fn unmanaged(&self) -> Vec<String> {
        let listed = self.world.get("/admin/runners/unmanaged", &self.root).await.assert_status(200).body;
        let names = listed["runners"].as_array().unwrap().iter();
        let mut names: Vec<String> =
            names.map(|one| one["runner_name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn runners_that_lived_through_the_lost_hour_are_kept_and_ended_ones_free_their_quota() {
    let scene = Scene::new().await;
    let (lives, ended, offline) = (scene.runner().await, scene.runner().await, scene.runner().await);
    scene.change(&lives.name, RunnerChange::online());
    let backup = scene.back_up().await;
    scene.change(&lives.name, RunnerChange::busy());
    scene.end(&ended.name);
    let theirs = json!({ "name": "theirs-0123456789ab", "labels": ["x"] });
    scene.world.twin.create_runner(serde_json::from_value::<RunnerSpec>(theirs).unwrap()).unwrap();
    scene.restore(backup).await;
    scene.world.jit(&scene.ada, &provision_body("ci")).await.refused(403, "quota_exceeded");
    scene.recover().await;
    assert_eq!(
        (scene.status(lives.id).await, scene.status(ended.id).await),
        ("active".into(), "deleted".into())
    );
    assert_eq!(scene.status(offline.id).await, "pending", "its config may still be used");
    assert_eq!(scene.unmanaged().await, ["theirs-0123456789ab"], "a name of this form proves nothing");
    assert_eq!(scene.world.twin.ledger().of("DELETE", "runners").count(), 0);
    let asked = scene.request().await;
    scene.work().await;
    scene.made(asked.job, asked.runner).await;
    scene.world.jit(&scene.ada, &provision_body("ci")).await.refused(403, "quota_exceeded");
    assert!(scene.world.twin.ledger().violations.is_empty());
}

#[tokio::test]
async fn runners_of_requests_that_were_open_an_hour_ago_are_removed_once_they_are_offline() {
    let scene = Scene::new().await;
    let (first, second) = (scene.request().await, scene.request().await);
    let backup = scene.back_up().await;
    scene.work().await;
    let used = scene.made(first.job, first.runner).await;
    let unused = scene.made(second.job, second.runner).await;
    scene.change(&used.name, RunnerChange::busy());
    scene.restore(backup).await;
    scene.recover().await;
    for job in [first.job, second.job] {
        assert_eq!(scene.world.job(&scene.ada, job).await["state"], "expired");
    }
    assert_eq!(scene.on_github(), [used.name.as_str()], "{} was never used", unused.name);
    assert!(scene.unmanaged().await.is_empty());
    scene.change(&used.name, RunnerChange::offline());
    let worker = scene.world.start_worker();
    scene.look_up().await;
    worker.stop().await;
    assert!(scene.on_github().is_empty());
    assert_eq!(scene.world.count("SELECT count(*) FROM runners WHERE status <> 'deleted'").await, 0);
}

#[tokio::test]
async fn runners_that_the_backup_has_never_heard_of_are_listed_and_left_alone() {
    let scene = Scene::new().await;
    let backup = scene.back_up().await;
    let unknown = scene.runner().await;
    scene.restore(backup).await;
    scene.recover().await;
    assert_eq!(scene.on_github(), [unknown.name.as_str()]);
    assert_eq!(scene.unmanaged().await, [unknown.name.as_str()]);
    assert_eq!(scene.world.twin.ledger().of("DELETE", "runners").count(), 0);
    scene.world.get(&format!("/jobs/{}", unknown.job), &scene.ada).await.refused(404, "not_found");
}

#[tokio::test]
async fn request_of_five_minutes_ago_runs_again_under_another_name() {
    let scene = Scene::new().await;
    let asked = scene.request().await;
    let backup = scene.back_up().await;
    scene.work().await;
    let lost = scene.made(asked.job, asked.runner).await;
    scene.restore_at_once(backup).await;
    requeue::run(&scene.world.scheduler_parts(), &mut requeue::EpochTracker::default()).await.unwrap();
    scene.work().await;
    let made = scene.made(asked.job, asked.runner).await;
    assert_ne!(made.name, lost.name);
    assert_eq!(scene.on_github().len(), 2);
    let worker = scene.world.start_worker();
    scene.look_up().await;
    worker.stop().await;
    assert_eq!(scene.on_github(), [made.name.as_str()], "the config of the other one was lost");
    scene.world.credential(&scene.ada, made.job).await.assert_status(200);
}

#[tokio::test]
async fn configs_of_the_backup_are_shredded_before_they_are_handed_out_again() {
    let scene = Scene::new().await;
    let runner = scene.runner().await;
    let backup = scene.back_up().await;
    scene.world.credential(&scene.ada, runner.job).await.assert_status(200);
    scene.restore_at_once(backup).await;
    let reason = ["--comment", "the database was restored"];
    scene.world.command(&[&["shred-credentials", "--all"], &reason[..]].concat(), &[]).await.expect(0);
    scene.world.credential(&scene.ada, runner.job).await.refused(410, "credential_gone");
}
