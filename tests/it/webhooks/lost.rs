//! Deliveries that did not arrive.

use harness::World;
use uuid::Uuid;

use super::{builder, look, scene};

/// As long as it is there, no event about a job can be stored.
async fn set_broken(world: &World, broken: bool) {
    let sql = if broken {
        "ALTER TABLE webhook_inbox ADD CONSTRAINT broken CHECK (event <> 'workflow_job')"
    } else {
        "ALTER TABLE webhook_inbox DROP CONSTRAINT broken"
    };
    sqlx::query(sql).execute(world.sql()).await.unwrap();
}

/// Reads the list of deliveries once more, as if minutes had passed.
async fn sweep(world: &World) -> u64 {
    for sql in [
        "UPDATE webhook_sweeps SET next_at = now()",
        "UPDATE webhook_redeliveries SET last_at = now() - interval '1 hour'",
    ] {
        sqlx::query(sql).execute(world.sql()).await.unwrap();
    }
    let asked = scheduler::redeliver::run(world.scheduling()).await.unwrap();
    world.twin.webhooks_sent().await;
    asked
}

#[tokio::test]
async fn what_was_lost_is_asked_for_again() {
    let scene = scene().await;
    let control = scene.world.twin.control();
    set_broken(&scene.world, true).await;
    let job = control.queue_job("acme/web", &["gpu-7"]).unwrap();
    control.start_job(job.id, scene.github_id).unwrap();
    look(&scene.world).await;
    assert_eq!(scene.stands().await, ("pending".to_owned(), false));

    set_broken(&scene.world, false).await;
    assert_eq!(sweep(&scene.world).await, 2);
    look(&scene.world).await;
    assert_eq!(scene.stands().await, ("active".to_owned(), true));
    assert_eq!(sweep(&scene.world).await, 0, "nothing is missing any more");
    let sent = control.deliveries();
    assert_eq!(sent.iter().filter(|one| one.redelivery).count(), 2);
    let guids: std::collections::HashSet<Uuid> = sent.iter().map(|one| one.guid.parse().unwrap()).collect();
    assert_eq!(guids.len(), 2);
}

#[tokio::test]
async fn what_never_arrives_is_asked_for_three_times() {
    let world = builder().start().await;
    set_broken(&world, true).await;
    world.twin.control().queue_job("acme/web", &["gpu-7"]).unwrap();
    world.twin.webhooks_sent().await;
    for asked in [1, 1, 1, 0, 0] {
        assert_eq!(sweep(&world).await, asked);
    }
    assert_eq!(world.twin.ledger().of("POST", "attempts").count(), 3);
}

#[tokio::test]
async fn the_list_is_read_in_turns() {
    let world = builder().start().await;
    let run = || scheduler::redeliver::run(world.scheduling());
    let (one, other) = tokio::join!(run(), run());
    assert_eq!(one.unwrap() + other.unwrap(), 0);
    assert_eq!(world.twin.ledger().of("GET", "deliveries").count(), 1);
}
