//! Workers: what they run, their versions and credentials, and a drain.

use std::time::Duration;

use github_twin::{Fault, FaultKind};
use harness::{World, eventually, provision_body, wait_until};

use super::{Night, text_of};

/// Returns the text of the page once it has this part.
async fn page_with(night: &Night, part: &str) -> String {
    eventually(&format!("the page says `{part}`"), || async {
        let page = night.page("/workers").await;
        page.contains(part).then_some(page)
    })
    .await
}

#[tokio::test]
async fn worker_is_shown_with_its_job_and_drained() {
    let night = Night::with(World::builder().workers(0)).await;
    let world = &night.world;
    let empty = night.page("/workers").await;
    assert!(empty.contains("No worker is running.") && empty.contains("rts worker"), "{empty}");
    assert!(empty.contains("No scheduler has run yet."), "{empty}");

    world.twin.fault(Fault::once("POST", "generate-jitconfig", FaultKind::Latency { ms: 3000 }));
    let asked = world.provision(&night.ada, provision_body("ci")).await;
    world.keep_running(world.start_worker());
    page_with(&night, "worker-0").await;
    let shown = eventually("the page links to the running job", || async {
        let page = night.admin.get("/workers").await.assert_status(200);
        page.text.contains(&format!("/jobs/{}", asked.job)).then_some(page)
    })
    .await;
    let text = text_of(&shown);
    assert!(text.contains("1 worker is alive") && text.contains("provision, deprovision, drift"), "{text}");
    world.until_final(&night.ada, asked.job).await;

    let drain = "/workers/worker-0/drain";
    let preview = night.page(drain).await;
    assert!(preview.contains("Let worker-0 finish and take no more?"), "{preview}");
    let refused = text_of(&night.admin.post(drain, &[("reason", "")]).await.assert_status(422));
    assert!(refused.contains("/reason"), "{refused}");
    let page = night.press(drain, &[("reason", "new kernel")]).await;
    assert!(page.contains("Worker worker-0 ends its jobs") && page.contains("draining"), "{page}");
    assert!(page.contains("by root@example.com") && page.contains("new kernel"), "{page}");
    wait_until("the worker has read the request", || async {
        harness::logs::recorded().contains("an admin drains this worker")
    })
    .await;
    assert_eq!(night.audit_rows("worker.drain").await, 1);
    night.admin.get("/workers/worker-9/drain").await.assert_status(404);
}

#[tokio::test]
async fn version_skew_dead_workers_and_missing_credentials_are_marked() {
    let night = Night::with(World::builder().workers(0)).await;
    let rows =
        "INSERT INTO workers (name, version, concurrency, running, lanes, installations, heartbeat_at) VALUES
        ('a-new', '2.0.0', 8, 8, '{provision}', '{default}', now()),
        ('b-new', '2.0.0', 8, 0, '{provision}', '{default,games}', now()),
        ('c-old', '1.9.0', 8, 0, '{provision}', '{default,games}', now()),
        ('<b>gone</b>', '2.0.0', 8, 2, '{provision}', '{default}', now() - interval '5 minutes')";
    sqlx::query(rows).execute(night.world.sql()).await.unwrap();
    let page = night.admin.get("/workers").await.assert_status(200);
    let text = text_of(&page);
    assert!(text.contains("3 workers are alive; 8 of 24 slots run a job."), "{text}");
    assert!(text.contains("1.9.0 ▲ differs") && !text.contains("2.0.0 ▲"), "{text}");
    assert!(!page.text.contains("<b>gone"), "names are escaped");
    assert!(text.contains("<b>gone</b> gone"), "{text}");
    let without = night.page("/workers?without=games").await;
    assert!(
        without.contains("a-new") && !without.contains("b-new") && !without.contains("gone"),
        "{without}"
    );
    let none = night.page("/workers?without=default").await;
    assert!(none.contains("No worker lacks this credential."), "{none}");
}

#[tokio::test]
async fn steps_of_the_scheduler_are_shown_and_late_ones_are_marked() {
    let night = Night::with(World::builder().workers(0)).await;
    let world = &night.world;
    let parts = world.scheduler_parts();
    for (step, led) in [("expire", false), ("flow", true), ("depths", true)] {
        parts.steps.register(step, Duration::from_secs(10), led);
    }
    parts.steps.record("expire", true);
    parts.steps.record("flow", false);
    scheduler::step_reports::run(parts).await.unwrap();
    let late = "INSERT INTO scheduler_steps (step, period_seconds, led, scheduler, succeeded_at)
        VALUES ('of-another-version', 10, true, 'sched-2', now() - interval '5 minutes')";
    sqlx::query(late).execute(world.sql()).await.unwrap();
    let body = world.get("/admin/sync/status", &night.root).await.assert_status(200).body;
    let steps: Vec<(&str, bool)> = body["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["step"].as_str().unwrap(), step["late"].as_bool().unwrap()))
        .collect();
    assert_eq!(steps, [("expire", false), ("flow", true), ("of-another-version", true)], "{body}");
    let page = night.page("/workers").await;
    assert!(page.contains("expire ends jobs whose deadline has passed on time"), "{page}");
    assert!(page.contains("Steps: ▲ 2 late") && page.contains("of-another-version late 5 min ago"), "{page}");
    assert!(page.contains("flow counts the jobs of each minute late never"), "{page}");
}

#[tokio::test]
async fn viewers_see_workers_and_only_admins_drain() {
    let night = Night::with(World::builder().workers(1)).await;
    page_with(&night, "worker-0").await;
    night.is_for_overseers("/workers").await;
    night.is_for_admins("/workers/worker-0/drain", &[("reason", "a reason")]).await;
    assert_eq!(
        night.world.count("SELECT count(*) FROM workers WHERE drain_requested_at IS NOT NULL").await,
        0
    );
}
