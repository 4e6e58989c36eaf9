//! Workers killed before, between and after their steps. One config is delivered, the quota is exact, and unneeded
//! runners are removed.

use std::time::Duration;

use github_twin::FaultKind;
use harness::{Accepted, Program, World, provision_body, team_draft, wait_until};
use sqlx::{Postgres, Transaction};
use store::TeamDraft;

use crate::exactly_once::Scene;

const SLOW: FaultKind = FaultKind::Latency { ms: 1_000 };

/// Creates a team with a quota of one, and no worker.
async fn scene(builder: harness::Builder) -> Scene {
    let team = TeamDraft { max_runners: Some(1), ..team_draft("red") };
    Scene::with(builder.lease(Duration::from_secs(3)), team).await
}

impl Scene {
    fn start_doomed_worker(&self) -> Program {
        self.world.program("worker", &[])
    }

    /// Opens a transaction that blocks other sessions from `what` until it ends.
    async fn hold_lock(&self, what: &'static str) -> Transaction<'static, Postgres> {
        let mut held = self.world.sql().begin().await.unwrap();
        sqlx::query(what).execute(&mut *held).await.unwrap();
        held
    }

    /// Waits until a session is blocked by a lock.
    async fn wait_for_blocked_session(&self) {
        wait_until("a session waits for a lock", || async { self.world.count(WAITING).await > 0 }).await;
    }

    /// Ends the transaction once the database has noticed that the blocked client is gone.
    async fn release_lock(&self, held: Transaction<'static, Postgres>) {
        sqlx::query(GONE).execute(self.world.sql()).await.unwrap();
        wait_until("the sessions have ended", || async { self.world.count(WAITING).await == 0 }).await;
        held.rollback().await.unwrap();
    }

    /// Starts a second worker, which takes the job over after its lease has expired. Returns the states of the job's
    /// calls.
    async fn wait_for_takeover(&self, asked: &Accepted) -> Vec<String> {
        let heir = self.start_doomed_worker();
        let job = self.wait_for_success(asked.job).await;
        assert_eq!(job["attempts"], 1, "the death of a worker counts no attempt");
        let name = self.delivered_config(asked).await;
        wait_until("the queue has removed the job", || async {
            self.world.queue().position(asked.job.into()).await.unwrap().is_none()
        })
        .await;
        let states = self.call_states(asked.job).await;
        self.world.jit(&self.ada, &provision_body("ci")).await.refused(403, "quota_exceeded");
        wait_until("every call has taken effect", || async {
            self.github_runner_names().len() == states.len()
        })
        .await;
        self.reap_orphans().await;
        assert_eq!(self.github_runner_names(), [name]);
        heir.stop().await;
        states
    }
}

const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'";
const GONE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

#[tokio::test]
async fn kill_before_the_recorded_call_delivers_one_config() {
    let scene = scene(World::builder()).await;
    let held = scene.hold_lock("LOCK TABLE github_calls IN ACCESS EXCLUSIVE MODE").await;
    let asked = scene.request_runner().await;
    let doomed = scene.start_doomed_worker();
    scene.wait_for_blocked_session().await;
    doomed.kill();
    scene.release_lock(held).await;
    assert!(scene.calls(asked.job).await.is_empty());
    assert_eq!(scene.wait_for_takeover(&asked).await, ["delivered"]);
}

#[tokio::test]
async fn kill_between_the_recorded_call_and_its_response_delivers_one_config() {
    let scene = scene(World::builder()).await;
    scene.fault_jit_calls(SLOW, 1);
    let asked = scene.request_runner().await;
    let doomed = scene.start_doomed_worker();
    scene.world.fault_consumed().await;
    doomed.kill();
    assert_eq!(scene.call_states(asked.job).await, ["intent"]);
    assert_eq!(scene.wait_for_takeover(&asked).await, ["effect_suspected", "delivered"]);
}

#[tokio::test]
async fn kill_between_the_response_and_the_commit_delivers_one_config() {
    let scene = scene(World::builder()).await;
    scene.fault_jit_calls(SLOW, 1);
    let asked = scene.request_runner().await;
    let doomed = scene.start_doomed_worker();
    scene.world.fault_consumed().await;
    let held = scene.hold_lock("SELECT FROM jobs FOR UPDATE").await;
    scene.wait_for_blocked_session().await;
    assert_eq!(scene.github_runner_names(), std::slice::from_ref(&asked.name), "GitHub has answered");
    doomed.kill();
    scene.release_lock(held).await;
    assert_eq!(scene.wait_for_takeover(&asked).await, ["effect_suspected", "delivered"]);
}

#[tokio::test]
async fn kill_between_the_commit_and_the_acknowledgement_delivers_one_config() {
    let scene = scene(World::builder().own_servers()).await;
    scene.fault_jit_calls(SLOW, 1);
    let asked = scene.request_runner().await;
    let doomed = scene.start_doomed_worker();
    scene.world.fault_consumed().await;
    scene.world.servers(|stack| stack.pause(devstack::Server::Redis)).await;
    let done = "SELECT count(*) FROM jobs WHERE state = 'succeeded'";
    wait_until("it is committed", || async { scene.world.count(done).await == 1 }).await;
    doomed.kill();
    scene.world.servers(|stack| stack.resume(devstack::Server::Redis)).await;
    assert_eq!(scene.wait_for_takeover(&asked).await, ["delivered"]);
    assert_eq!(scene.world.twin.ledger().of("POST", "generate-jitconfig").count(), 1);
}

#[tokio::test]
async fn kill_with_default_leases_is_followed_by_another_worker() {
    let scene = Scene::with(World::builder(), team_draft("red")).await;
    scene.fault_jit_calls(FaultKind::Latency { ms: 60_000 }, 1);
    let asked = scene.request_runner().await;
    let doomed = scene.start_doomed_worker();
    scene.world.fault_consumed().await;
    let heir = scene.start_doomed_worker();
    doomed.kill();
    let done = "SELECT count(*) FROM jobs WHERE state = 'succeeded' AND rescues = 1";
    wait_until("another worker has done it", || async { scene.world.count(done).await == 1 }).await;
    assert_eq!(scene.call_states(asked.job).await, ["effect_suspected", "delivered"]);
    heir.stop().await;
}
