//! Tabs that connect again all at once, as after a restart of the api.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use harness::{Browser, World, eventually, provision_body, team_draft};
use reqwest::Response;
use runtime::config::ServerGuards;
use tokio::task::JoinSet;

/// Tabs: more than the api has connections.
const TABS: usize = 60;
/// PostgreSQL ends a wait for a lock after five seconds.
const SURELY_WAITING: Duration = Duration::from_secs(4);

/// Opens a stream as a tab does: a refusal is counted, and tried again until it opens.
async fn connect(browser: Arc<Browser>, refusals: Arc<AtomicUsize>) -> Response {
    eventually("a stream", || async {
        let response = browser.request("GET", "/live?board=true").send().await.unwrap();
        if response.status() != 200 {
            assert_eq!(response.status(), 503);
            refusals.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(response)
    })
    .await
}

#[tokio::test]
async fn streams_wait_for_their_turn_and_leave_others_their_connections() {
    let many = NonZeroU32::new(200).unwrap();
    let guards = ServerGuards { waits_per_caller: many, ..ServerGuards::default() };
    let world = World::builder().workers(0).guards(guards).start().await;
    let team = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&team]).await;
    let admin = Arc::new(world.sign_in(&world.admin().await).await);
    admin.get("/").await.assert_status(200);

    // Every look-up of a session now waits, longer than a page may.
    let mut held = world.sql().begin().await.unwrap();
    sqlx::query("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE").execute(&mut *held).await.unwrap();
    let (begun, refusals) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let mut tabs: JoinSet<Response> = (0..TABS).map(|_| connect(admin.clone(), refusals.clone())).collect();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND wait_event_type = 'Lock' AND query LIKE '%FROM sessions%'";
    eventually("look-ups wait", || async { (world.count(waits).await == 4).then_some(()) }).await;
    // A page says within a second that it cannot be shown; streams go on waiting, and hold no further connection.
    admin.get("/").await.assert_status(503);
    assert!(world.count(waits).await <= 5);
    world.provision(&ada, provision_body("ci")).await;
    let refused = refusals.load(Ordering::Relaxed);
    assert!(refused == 0 || begun.elapsed() > SURELY_WAITING, "{refused} streams were refused");
    held.rollback().await.unwrap();

    let mut open = Vec::new();
    while let Some(stream) = tabs.join_next().await {
        open.push(stream.unwrap());
    }
    assert_eq!(open.len(), TABS);
    admin.get("/").await.assert_status(200);
}
