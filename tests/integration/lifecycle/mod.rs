//! The life of a runner after its config was handed out: watched, checked, removed; and never harmed by mistake.
#![cfg(test)]

mod churn;
mod drift;
mod leadership;
mod remove;
mod shared_jobs;
mod statuses;
mod sync;
mod unused_and_stale;

use domain::InstallationId;
use github_twin::{Runner, RunnerChange, RunnerSpec};
use harness::{Accepted, Builder, Person, World, eventually, provision_body, team_draft};
use scheduler::sync::{PageCache, SyncResult};
use store::TeamDraft;
use uuid::Uuid;

/// A team with one person in it, and workers that make runners.
struct Scene {
    world: World,
    ada: Person,
    root: Person,
}

impl Scene {
    async fn new() -> Self {
        Self::with(World::builder(), team_draft("red")).await
    }

    async fn with(builder: Builder, team: TeamDraft) -> Self {
        let world = builder.start().await;
        let red = world.team(team).await;
        let (ada, root) = (world.user("ada", &[&red]).await, world.admin().await);
        Self { world, ada, root }
    }

    /// A runner whose config was issued an hour ago: GitHub and we have settled about it.
    async fn runner(&self) -> Ours {
        let Accepted { job, runner, .. } = self.world.provision(&self.ada, provision_body("ci")).await;
        let done = self.world.until_final(&self.ada, job).await;
        assert_eq!(done["state"], "succeeded", "{done}");
        let long_ago = "UPDATE runners SET registered_at = registered_at - interval '1 hour',
            updated_at = updated_at - interval '1 hour' WHERE id = $1";
        self.world.change(long_ago, runner).await;
        let name = done["runner_name"].as_str().unwrap().to_owned();
        Ours { id: runner, job, github: self.world.twin.runner(&name).unwrap().id, name }
    }

    /// One pass with nothing remembered.
    async fn pass(&self) -> SyncResult {
        self.pass_with(&mut PageCache::default()).await
    }

    async fn pass_with(&self, memory: &mut PageCache) -> SyncResult {
        scheduler::sync::run(&self.world.scheduling(), &InstallationId::default(), memory).await.unwrap()
    }

    /// Runners somebody else made.
    fn foreign(&self, prefix: &str, many: usize) {
        for nth in 0..many {
            let name = format!("{prefix}-{nth}");
            let state = RunnerChange::online();
            let spec =
                RunnerSpec { name, scope: None, labels: vec!["theirs".into()], ephemeral: false, state };
            self.world.twin.create_runner(spec).unwrap();
        }
    }

    fn set(&self, runner: &Ours, change: RunnerChange) {
        self.world.twin.set_runner(runner.github, change).unwrap();
    }

    /// As GitHub has it now.
    fn on_github(&self, runner: &Ours) -> Option<Runner> {
        self.world.twin.runners().into_iter().find(|there| there.id == runner.github)
    }

    async fn status(&self, runner: &Ours) -> String {
        self.world.text("SELECT status FROM runners WHERE id = $1", runner.id).await
    }

    async fn reaches(&self, runner: &Ours, status: &str) {
        eventually(status, || async { (self.status(runner).await == status).then_some(()) }).await;
    }

    /// Waits until no job is open.
    async fn quiet(&self) {
        harness::wait_until("no open job", || async {
            self.world.count("SELECT count(*) FROM jobs WHERE finished_at IS NULL").await == 0
        })
        .await;
    }

    async fn alarms(&self, event_type: &str) -> i64 {
        let path = format!("/admin/security-events?event_type={event_type}");
        self.world.get(&path, &self.root).await.assert_status(200).body["total"].as_i64().unwrap()
    }

    /// From, to and source of every change, oldest first.
    async fn trail(&self, runner: &Ours) -> Vec<String> {
        let shown =
            self.world.get(&format!("/runners/{}", runner.id), &self.ada).await.assert_status(200).body;
        let rows = shown["transitions"].as_array().unwrap().iter().rev();
        rows.map(|row| {
            let word = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", word("from_status"), word("to_status"), word("source"))
        })
        .collect()
    }

    /// Requests GitHub has got.
    fn requests(&self, method: &str, path: &str) -> usize {
        self.world
            .twin
            .ledger()
            .entries
            .iter()
            .filter(|e| e.method == method && e.template.ends_with(path))
            .count()
    }

    fn deletions(&self) -> usize {
        self.world.twin.ledger().entries.iter().filter(|e| e.method == "DELETE").count()
    }
}

/// A runner of ours.
struct Ours {
    id: Uuid,
    job: Uuid,
    github: u64,
    name: String,
}

/// The listing and one runner, as the ledger names them.
const LIST: &str = "/actions/runners";
const ONE: &str = "/actions/runners/{runner_id}";
