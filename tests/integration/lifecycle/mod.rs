//! Life of a runner after the hand-out of its config: watched, checked and removed, never by mistake.
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

/// A team with one user, and workers that create runners.
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

    /// Returns a runner whose config was issued an hour ago, past the registration grace.
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

    /// Runs one sync pass without memory of earlier ones.
    async fn run_sync(&self) -> SyncResult {
        self.run_sync_with(&mut PageCache::default()).await
    }

    async fn run_sync_with(&self, memory: &mut PageCache) -> SyncResult {
        scheduler::sync::run(&self.world.scheduler_parts(), &InstallationId::default(), memory).await.unwrap()
    }

    /// Adds unmanaged runners on GitHub.
    fn add_unmanaged(&self, prefix: &str, many: usize) {
        for nth in 0..many {
            let name = format!("{prefix}-{nth}");
            let state = RunnerChange::online();
            let spec =
                RunnerSpec { name, scope: None, labels: vec!["theirs".into()], ephemeral: false, state };
            self.world.twin.create_runner(spec).unwrap();
        }
    }

    fn change_on_github(&self, runner: &Ours, change: RunnerChange) {
        self.world.twin.set_runner(runner.github, change).unwrap();
    }

    /// Returns the runner as GitHub has it.
    fn github_runner(&self, runner: &Ours) -> Option<Runner> {
        self.world.twin.runners().into_iter().find(|there| there.id == runner.github)
    }

    async fn status(&self, runner: &Ours) -> String {
        self.world.text("SELECT status FROM runners WHERE id = $1", runner.id).await
    }

    async fn wait_for_status(&self, runner: &Ours, status: &str) {
        eventually(status, || async { (self.status(runner).await == status).then_some(()) }).await;
    }

    /// Waits until no job is open.
    async fn wait_for_no_open_job(&self) {
        harness::wait_until("no open job", || async {
            self.world.count("SELECT count(*) FROM jobs WHERE finished_at IS NULL").await == 0
        })
        .await;
    }

    async fn count_security_events(&self, event_type: &str) -> i64 {
        let path = format!("/admin/security-events?event_type={event_type}");
        self.world.get(&path, &self.root).await.assert_status(200).body["total"].as_i64().unwrap()
    }

    /// Returns source and target status and origin of every change, oldest first.
    async fn status_history(&self, runner: &Ours) -> Vec<String> {
        let shown =
            self.world.get(&format!("/runners/{}", runner.id), &self.ada).await.assert_status(200).body;
        let rows = shown["transitions"].as_array().unwrap().iter().rev();
        rows.map(|row| {
            let word = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", word("from_status"), word("to_status"), word("source"))
        })
        .collect()
    }

    /// Returns the number of requests that GitHub received.
    fn count_requests(&self, method: &str, path: &str) -> usize {
        self.world
            .twin
            .ledger()
            .entries
            .iter()
            .filter(|e| e.method == method && e.template.ends_with(path))
            .count()
    }

    fn count_deletions(&self) -> usize {
        self.world.twin.ledger().entries.iter().filter(|e| e.method == "DELETE").count()
    }
}

/// A managed runner.
struct Ours {
    id: Uuid,
    job: Uuid,
    github: u64,
    name: String,
}

/// Paths of the listing and of one runner in the ledger.
const LIST: &str = "/actions/runners";
const ONE: &str = "/actions/runners/{runner_id}";
