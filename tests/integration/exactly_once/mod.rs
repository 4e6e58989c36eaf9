//! Exactly one config for each job, despite crashes, frozen workers and lost responses.
#![cfg(test)]

mod crashes;
mod early;
mod lost;
mod orphans;
mod requested_names;

use domain::Lane;
use github_twin::Fault;
use harness::{Accepted, Builder, Person, World, eventually, team_draft, wait_until};
use serde_json::Value;
use store::TeamDraft;
use uuid::Uuid;

/// A world whose workers are started by the test.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) ada: Person,
}

/// One row of `github_calls`.
#[derive(Debug, PartialEq, sqlx::FromRow)]
pub(super) struct Call {
    generation: i16,
    pub(super) runner_name: String,
    state: String,
    github_runner_id: Option<i64>,
}

impl Scene {
    async fn new() -> Self {
        Self::with(World::builder(), team_draft("red")).await
    }

    /// Starts a world with these options and this team.
    pub(super) async fn with(builder: Builder, team: TeamDraft) -> Self {
        let world = builder.workers(0).start().await;
        let red = world.team(team).await;
        Self { ada: world.user("ada", &[&red]).await, world }
    }

    pub(super) async fn request_runner(&self) -> Accepted {
        self.world.provision(&self.ada, harness::provision_body("ci")).await
    }

    pub(super) fn add_worker(&self) {
        self.world.keep_running(self.world.start_worker());
    }

    /// Adds a fault to calls that create a runner.
    pub(super) fn fault_jit_calls(&self, kind: github_twin::FaultKind, times: u32) {
        self.world.twin.fault(Fault::new(kind).on("POST", "generate-jitconfig").times(times));
    }

    pub(super) async fn calls(&self, job: Uuid) -> Vec<Call> {
        let sql =
            "SELECT generation, runner_name, state, github_runner_id FROM github_calls WHERE job_id = $1
             ORDER BY generation";
        sqlx::query_as(sql).bind(job).fetch_all(self.world.sql()).await.unwrap()
    }

    pub(super) async fn call_states(&self, job: Uuid) -> Vec<String> {
        self.calls(job).await.into_iter().map(|call| call.state).collect()
    }

    pub(super) async fn wait_for_success(&self, job: Uuid) -> Value {
        let job = self.world.until_final(&self.ada, job).await;
        assert_eq!(job["state"], "succeeded", "{job}");
        job
    }

    /// Returns the one config of a job, after checking that it is unique and bound to its row and to a runner on
    /// GitHub.
    pub(super) async fn delivered_config(&self, asked: &Accepted) -> String {
        let config = self.world.credential(&self.ada, asked.job).await.assert_status(200).body;
        let name = config["runner_name"].as_str().unwrap().to_owned();
        let made = self.world.twin.runner(&name).expect("GitHub has the runner of the config");
        let row =
            self.world.get(&format!("/runners/{}", asked.runner), &self.ada).await.assert_status(200).body;
        assert_eq!(
            (&row["runner_name"], &row["github_runner_id"]),
            (&config["runner_name"], &made.id.into())
        );
        let odd = "SELECT count(*) FROM jobs FULL JOIN credentials ON credentials.job_id = jobs.id
             WHERE coalesce(state = 'succeeded' AND call_id IS NULL, false) <> (credentials.job_id IS NOT NULL)";
        assert_eq!(self.world.count(odd).await, 0, "one config for each job that succeeded, and no other");
        let delivered: Vec<Call> =
            self.calls(asked.job).await.into_iter().filter(|call| call.state == "delivered").collect();
        assert_eq!(delivered.len(), 1);
        assert_eq!(delivered[0].runner_name, name);
        name
    }

    /// Makes every scheduled look-up due and waits until all are done. Needs a running worker.
    pub(super) async fn reap_orphans(&self) -> u64 {
        let due = "UPDATE github_calls SET next_reap_at = now() WHERE next_reap_at IS NOT NULL";
        sqlx::query(due).execute(self.world.sql()).await.unwrap();
        let sent = scheduler::reap::run(self.world.scheduler_parts()).await.unwrap();
        let open = "SELECT count(*) FROM jobs WHERE call_id IS NOT NULL AND finished_at IS NULL";
        wait_until("the lookups are done", || async { self.world.count(open).await == 0 }).await;
        sent
    }

    /// Returns the names of all runners on GitHub.
    pub(super) fn github_runner_names(&self) -> Vec<String> {
        self.world.twin.runners().into_iter().map(|runner| runner.name).collect()
    }

    async fn wait_for_snoozes(&self, job: Uuid, times: i32) {
        let sql = "SELECT snoozes FROM jobs WHERE id = $1 AND state = 'queued'";
        eventually("the job waits again", || async {
            let snoozes: Option<i32> =
                sqlx::query_scalar(sql).bind(job).fetch_optional(self.world.sql()).await.unwrap();
            snoozes.filter(|snoozes| *snoozes == times)
        })
        .await;
        // The row is written first. The queue must have the job before the test makes it due.
        wait_until("the queue has it back", || async {
            let standing = self.world.queue().position(job.into()).await.unwrap();
            matches!(standing.map(|standing| standing.place), Some(queue::JobPlace::Delayed { .. }))
        })
        .await;
    }

    async fn make_jobs_due(&self) {
        self.world.make_due(Lane::Provision).await;
    }
}
