//! A worker is killed where it stands: before, between and after its steps. One config is delivered, the quota is exact,
//! and what was made in vain goes.

use std::time::Duration;

use github_twin::FaultKind;
use harness::{Accepted, Program, World, provision_body, team_draft, wait_until};
use sqlx::{Postgres, Transaction};
use store::TeamDraft;

use crate::exactly_once::Scene;

const SLOW: FaultKind = FaultKind::Latency { ms: 1_000 };

/// One team with one place, and nobody at work.
async fn scene(builder: harness::Builder) -> Scene {
    let team = TeamDraft { max_runners: Some(1), ..team_draft("red") };
    Scene::with(builder.lease(Duration::from_secs(3)), team).await
}

impl Scene {
    fn doomed(&self) -> Program {
        self.world.program("worker", &[])
    }

    /// Keeps everybody else from `what` until it ends.
    async fn hold(&self, what: &'static str) -> Transaction<'static, Postgres> {
        let mut held = self.world.sql().begin().await.unwrap();
        sqlx::query(what).execute(&mut *held).await.unwrap();
        held
    }

    /// Waits until somebody is kept from something.
    async fn kept(&self) {
        wait_until("somebody waits for a lock", || async { self.world.count(WAITING).await > 0 }).await;
    }

    /// The database notices that whoever waits for a lock is gone.
    async fn let_go(&self, held: Transaction<'static, Postgres>) {
        sqlx::query(GONE).execute(self.world.sql()).await.unwrap();
        wait_until("they are gone", || async { self.world.count(WAITING).await == 0 }).await;
        held.rollback().await.unwrap();
    }

    /// Somebody else takes the job over as soon as its lease has ended. Answers the states of its calls.
    async fn taken_over(&self, asked: &Accepted) -> Vec<String> {
        let heir = self.doomed();
        let job = self.succeeded(asked.job).await;
        assert_eq!(job["attempts"], 1, "a dead worker is not the job's failure");
        let name = self.config(asked).await;
        wait_until("the queue knows that it is over", || async {
            self.world.queue().position(asked.job.into()).await.unwrap().is_none()
        })
        .await;
        let states = self.states(asked.job).await;
        self.world.jit(&self.ada, &provision_body("ci")).await.refused(403, "quota_exceeded");
        wait_until("every call has taken effect", || async { self.on_github().len() == states.len() }).await;
        self.reap().await;
        assert_eq!(self.on_github(), [name]);
        heir.stop().await;
        states
    }
}

const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'";
const GONE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

#[tokio::test]
async fn before_its_intent() {
    let scene = scene(World::builder()).await;
    let held = scene.hold("LOCK TABLE github_calls IN ACCESS EXCLUSIVE MODE").await;
    let asked = scene.asked().await;
    let doomed = scene.doomed();
    scene.kept().await;
    doomed.kill();
    scene.let_go(held).await;
    assert!(scene.calls(asked.job).await.is_empty());
    assert_eq!(scene.taken_over(&asked).await, ["delivered"]);
}

#[tokio::test]
async fn between_its_intent_and_the_answer() {
    let scene = scene(World::builder()).await;
    scene.fault(SLOW, 1);
    let asked = scene.asked().await;
    let doomed = scene.doomed();
    scene.world.fault_consumed().await;
    doomed.kill();
    assert_eq!(scene.states(asked.job).await, ["intent"]);
    assert_eq!(scene.taken_over(&asked).await, ["effect_suspected", "delivered"]);
}

#[tokio::test]
async fn after_the_answer_and_before_the_commit() {
    let scene = scene(World::builder()).await;
    scene.fault(SLOW, 1);
    let asked = scene.asked().await;
    let doomed = scene.doomed();
    scene.world.fault_consumed().await;
    let held = scene.hold("SELECT FROM jobs FOR UPDATE").await;
    scene.kept().await;
    assert_eq!(scene.on_github(), std::slice::from_ref(&asked.name), "GitHub has answered");
    doomed.kill();
    scene.let_go(held).await;
    assert_eq!(scene.taken_over(&asked).await, ["effect_suspected", "delivered"]);
}

#[tokio::test]
async fn after_the_commit_and_before_the_queue_hears() {
    let scene = scene(World::builder().own_servers()).await;
    scene.fault(SLOW, 1);
    let asked = scene.asked().await;
    let doomed = scene.doomed();
    scene.world.fault_consumed().await;
    scene.world.servers(|stack| stack.pause(devstack::Server::Redis)).await;
    let done = "SELECT count(*) FROM jobs WHERE state = 'succeeded'";
    wait_until("it is committed", || async { scene.world.count(done).await == 1 }).await;
    doomed.kill();
    scene.world.servers(|stack| stack.resume(devstack::Server::Redis)).await;
    assert_eq!(scene.taken_over(&asked).await, ["delivered"]);
    assert_eq!(scene.world.twin.ledger().of("POST", "generate-jitconfig").count(), 1);
}

#[tokio::test]
async fn with_leases_of_the_usual_length_another_worker_does_its_job() {
    let scene = Scene::with(World::builder(), team_draft("red")).await;
    scene.fault(FaultKind::Latency { ms: 60_000 }, 1);
    let asked = scene.asked().await;
    let doomed = scene.doomed();
    scene.world.fault_consumed().await;
    let heir = scene.doomed();
    doomed.kill();
    let done = "SELECT count(*) FROM jobs WHERE state = 'succeeded' AND rescues = 1";
    wait_until("another worker has done it", || async { scene.world.count(done).await == 1 }).await;
    assert_eq!(scene.states(asked.job).await, ["effect_suspected", "delivered"]);
    heir.stop().await;
}
