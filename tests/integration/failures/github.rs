//! A complete outage of GitHub.

use domain::{InstallationId, Lane};
use futures::future::join_all;
use github_twin::{Fault, FaultKind};
use harness::{World, eventually, team_draft, wait_until};
use queue::Reason;

use crate::exactly_once::Scene;

/// Checks an outage of the installation: one probe at a time is sent.
async fn check_outage(kind: FaultKind) {
    let scene = Scene::with(World::builder(), team_draft("red")).await;
    let world = &scene.world;
    world.twin.fault(Fault::new(kind));
    let asked = join_all((0..6).map(|_| scene.request_runner())).await;
    let workers = [world.start_worker(), world.start_worker()];
    eventually("all jobs are paused", || async {
        let pauses = world.queue().pauses().await.unwrap();
        pauses.into_iter().find(|paused| paused.pause.reason == Reason::GithubOutage)
    })
    .await;
    let until = std::time::Duration::from_mins(10);
    world.queue().pause(&InstallationId::default(), until, Reason::GithubOutage).await.unwrap();
    for one in &asked {
        wait_until("the job says why it waits", || async {
            let job = world.job(&scene.ada, one.job).await;
            job["state"] == "queued" && job["blocked_on"] == "github_outage"
        })
        .await;
    }
    let before = world.twin.summary().requests;
    let late = scene.request_runner().await;
    world.make_due(Lane::Provision).await;
    wait_until("the later job waits as well", || async {
        world.job(&scene.ada, late.job).await["blocked_on"] == "github_outage"
    })
    .await;
    assert_eq!(world.twin.summary().requests, before, "no request during the pause");
    assert_eq!(world.count("SELECT count(*) FROM jobs WHERE attempts > 0").await, 0, "no attempt is counted");

    world.twin.clear_faults();
    wait_until("everything is done", || async {
        // Simulates elapsed time after the pause of the last failure.
        world.queue().resume(&InstallationId::default(), Reason::GithubOutage).await.unwrap();
        world.make_due(Lane::Provision).await;
        world.count("SELECT count(*) FROM jobs WHERE finished_at IS NULL AND kind = 'provision'").await == 0
    })
    .await;
    for one in asked.iter().chain([&late]) {
        assert_eq!(scene.wait_for_success(one.job).await["attempts"], 1);
    }
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test]
async fn unreachable_github_pauses_jobs_without_attempts() {
    check_outage(FaultKind::Drop).await;
}

#[tokio::test]
async fn failing_github_pauses_jobs_without_attempts() {
    check_outage(FaultKind::Status { status: 503 }).await;
}
