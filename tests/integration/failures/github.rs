//! GitHub is down altogether.

use domain::{InstallationId, Lane};
use futures::future::join_all;
use github_twin::{Fault, FaultKind};
use harness::{World, eventually, team_draft, wait_until};
use queue::Reason;

use crate::exactly_once::Scene;

/// For the fleet as a whole: it is asked by one probe at a time only.
async fn waited_out(kind: FaultKind) {
    let scene = Scene::with(World::builder(), team_draft("red")).await;
    let world = &scene.world;
    world.twin.fault(Fault::new(kind));
    let asked = join_all((0..6).map(|_| scene.asked())).await;
    let workers = [world.start_worker(), world.start_worker()];
    eventually("everybody is told to wait", || async {
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
    let late = scene.asked().await;
    world.make_due(Lane::Provision).await;
    wait_until("the late one waits too", || async {
        world.job(&scene.ada, late.job).await["blocked_on"] == "github_outage"
    })
    .await;
    assert_eq!(world.twin.summary().requests, before, "no request while told to wait");
    assert_eq!(world.count("SELECT count(*) FROM jobs WHERE attempts > 0").await, 0, "no attempt is burned");

    world.twin.clear_faults();
    wait_until("everything is done", || async {
        // As time would, whatever a last bad answer still holds up.
        world.queue().resume(&InstallationId::default(), Reason::GithubOutage).await.unwrap();
        world.make_due(Lane::Provision).await;
        world.count("SELECT count(*) FROM jobs WHERE finished_at IS NULL AND kind = 'provision'").await == 0
    })
    .await;
    for one in asked.iter().chain([&late]) {
        assert_eq!(scene.succeeded(one.job).await["attempts"], 1);
    }
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test]
async fn nothing_answers() {
    waited_out(FaultKind::Drop).await;
}

#[tokio::test]
async fn everything_is_answered_with_an_error() {
    waited_out(FaultKind::Status { status: 503 }).await;
}
