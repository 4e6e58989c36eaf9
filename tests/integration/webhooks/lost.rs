//! Webhook deliveries that did not arrive.

use std::time::Duration;

use github_twin::{Fault, FaultKind};
use harness::World;
use scheduler::{StepError, redeliver::Bounds};
use uuid::Uuid;

use super::{builder, process_inbox, scene};

/// Adds or removes a constraint that makes storing job events fail.
async fn set_broken(world: &World, broken: bool) {
    let sql = if broken {
        "ALTER TABLE webhook_inbox ADD CONSTRAINT broken CHECK (event <> 'workflow_job')"
    } else {
        "ALTER TABLE webhook_inbox DROP CONSTRAINT broken"
    };
    sqlx::query(sql).execute(world.sql()).await.unwrap();
}

/// Reads the list of deliveries again, as if minutes had passed.
async fn sweep_deliveries(world: &World) -> u64 {
    for sql in [
        "UPDATE webhook_sweeps SET next_at = now()",
        "UPDATE webhook_redeliveries SET last_at = now() - interval '1 hour'",
    ] {
        sqlx::query(sql).execute(world.sql()).await.unwrap();
    }
    let asked = scheduler::redeliver::run(world.scheduler_parts()).await.unwrap();
    world.twin.webhooks_sent().await;
    asked
}

#[tokio::test]
async fn lost_deliveries_are_requested_again() {
    let scene = scene().await;
    let control = scene.world.twin.control();
    set_broken(&scene.world, true).await;
    let job = control.queue_job("acme/web", &["gpu-7"]).unwrap();
    control.start_job(job.id, scene.github_id).unwrap();
    process_inbox(&scene.world).await;
    assert_eq!(scene.status_and_busy().await, ("pending".to_owned(), false));

    set_broken(&scene.world, false).await;
    assert_eq!(sweep_deliveries(&scene.world).await, 2);
    process_inbox(&scene.world).await;
    assert_eq!(scene.status_and_busy().await, ("active".to_owned(), true));
    assert_eq!(sweep_deliveries(&scene.world).await, 0, "nothing is missing any more");
    let sent = control.deliveries();
    assert_eq!(sent.iter().filter(|one| one.redelivery).count(), 2);
    let guids: std::collections::HashSet<Uuid> = sent.iter().map(|one| one.guid.parse().unwrap()).collect();
    assert_eq!(guids.len(), 2);
}

#[tokio::test]
async fn lost_deliveries_are_requested_three_times() {
    let world = builder().start().await;
    set_broken(&world, true).await;
    world.twin.control().queue_job("acme/web", &["gpu-7"]).unwrap();
    world.twin.webhooks_sent().await;
    for asked in [1, 1, 1, 0, 0] {
        assert_eq!(sweep_deliveries(&world).await, asked);
    }
    assert_eq!(world.twin.ledger().of("POST", "attempts").count(), 3);
}

#[tokio::test]
async fn concurrent_schedulers_read_the_delivery_list_once() {
    let world = builder().start().await;
    let run = || scheduler::redeliver::run(world.scheduler_parts());
    let (one, other) = tokio::join!(run(), run());
    assert_eq!(one.unwrap() + other.unwrap(), 0);
    assert_eq!(world.twin.ledger().of("GET", "deliveries").count(), 1);
}

#[tokio::test]
async fn long_delivery_list_is_read_completely_in_parts() {
    let world = builder().start().await;
    set_broken(&world, true).await;
    for _ in 0..5 {
        world.twin.control().queue_job("acme/web", &["gpu-7"]).unwrap();
    }
    world.twin.webhooks_sent().await;
    set_broken(&world, false).await;
    let bounds = Bounds { page: 2, pages: 1, posts: 1, gap: Duration::ZERO };
    let read = "SELECT count(*) FROM webhook_sweeps WHERE checked_until IS NOT NULL";
    let mut asked = 0;
    for _ in 0..9 {
        assert_eq!(world.count(read).await, 0, "after {asked} of 5");
        let now = scheduler::redeliver::run_within(&world.scheduler_parts(), &bounds).await.unwrap();
        assert!(now <= 1, "{now} at once");
        asked += now;
        world.twin.webhooks_sent().await;
        if world.count(read).await == 1 {
            break;
        }
    }
    assert_eq!(asked, 5);
    assert_eq!(world.count("SELECT count(*) FROM webhook_inbox").await, 5);
    assert_eq!(sweep_deliveries(&world).await, 0);
}

#[tokio::test]
async fn expired_page_cursor_restarts_the_list() {
    let world = builder().start().await;
    set_broken(&world, true).await;
    for _ in 0..2 {
        world.twin.control().queue_job("acme/web", &["gpu-7"]).unwrap();
    }
    world.twin.webhooks_sent().await;
    set_broken(&world, false).await;
    let bounds = Bounds { page: 1, pages: 1, posts: 9, gap: Duration::ZERO };
    let parts = world.scheduler_parts();
    let step = || scheduler::redeliver::run_within(&parts, &bounds);
    assert_eq!(step().await.unwrap(), 1);
    sqlx::query("UPDATE webhook_sweeps SET resume_from = 'nowhere'").execute(world.sql()).await.unwrap();
    assert!(matches!(step().await, Err(StepError::GitHub(_))));
    world.twin.webhooks_sent().await;
    assert_eq!(step().await.unwrap(), 0, "the search starts again: the first delivery has arrived");
    assert_eq!(step().await.unwrap(), 1);
}

#[tokio::test]
async fn unreadable_delivery_list_is_a_failure() {
    let world = builder().start().await;
    let fault = Fault::new(FaultKind::Status { status: 500 }).on("GET", "deliveries");
    world.twin.control().fault(fault).unwrap();
    let step = scheduler::redeliver::run(world.scheduler_parts()).await;
    assert!(matches!(step, Err(StepError::GitHub(_))), "{step:?}");
}
