//! Event streams and waiting requests: no database load while nothing changes, a limit per caller, and an end with the
//! caller's access.

use std::{num::NonZeroU32, time::Duration};

use harness::{Accepted, Person, Team, World, eventually, provision_body, team_draft};
use runtime::config::ServerGuards;

struct Scene {
    world: World,
    red: Team,
    ada: Person,
    bob: Person,
    asked: Accepted,
}

async fn scene(waits: u32) -> Scene {
    let many = |n| NonZeroU32::new(n).unwrap();
    let guards = ServerGuards { waits_per_caller: many(waits), ..ServerGuards::default() };
    let world = World::builder().workers(0).guards(guards).start().await;
    let red = world.team(team_draft("red")).await;
    let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&red]).await);
    let asked = world.provision(&ada, provision_body("ci")).await;
    Scene { world, red, ada, bob, asked }
}

impl Scene {
    fn events(&self) -> String {
        format!("/jobs/{}/events", self.asked.job)
    }

    /// Returns the number of transactions in this world's database so far.
    async fn transactions(&self) -> i64 {
        let sql = "SELECT (xact_commit + xact_rollback)::bigint FROM pg_stat_database WHERE datname = current_database()";
        sqlx::query("SELECT pg_stat_force_next_flush()").execute(self.world.sql()).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(self.world.sql()).await.unwrap()
    }
}

#[tokio::test]
async fn stream_of_a_waiting_job_sends_one_event_and_reads_next_to_nothing() {
    let scene = scene(20).await;
    let mut stream = scene.world.ask("GET", &scene.events()).by(&scene.ada).open().await;
    let first = stream.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).starts_with("event: status"));
    let before = scene.transactions().await;
    let quiet = tokio::time::timeout(Duration::from_secs(4), stream.chunk()).await;
    assert!(quiet.is_err(), "an event without a change: {quiet:?}");
    let done = scene.transactions().await - before;
    assert!(done < 40, "{done} transactions while nothing happened");
}

#[tokio::test]
async fn caller_with_too_many_streams_is_refused_and_others_are_not() {
    let scene = scene(3).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(scene.world.ask("GET", &scene.events()).by(&scene.ada).open().await);
    }
    let refused = scene.world.get(&scene.events(), &scene.ada).await.refused(429, "rate_limited");
    assert!(!refused.header("retry-after").is_empty());
    let path = format!("/jobs/{}?wait=25", scene.asked.job);
    let at_once = scene.world.get(&path, &scene.ada).await.assert_status(200);
    assert_eq!(at_once.body["state"], "queued");
    scene.world.ask("GET", &scene.events()).by(&scene.bob).open().await;
    open.pop();
    eventually("a stream is allowed again", || async {
        let stream = scene.world.ask("GET", &scene.events()).by(&scene.ada).try_open().await;
        stream.is_some().then_some(())
    })
    .await;
}

#[tokio::test]
async fn stream_and_wait_end_when_membership_does() {
    let scene = scene(20).await;
    let mut stream = scene.world.ask("GET", &scene.events()).by(&scene.bob).open().await;
    stream.chunk().await.unwrap().unwrap();
    let path = format!("/jobs/{}?wait=25", scene.asked.job);
    let root = scene.world.admin().await;
    let member = format!("/admin/teams/{}/members/{}", scene.red.id, scene.bob.id);
    let (waited, ()) = tokio::join!(scene.world.get(&path, &scene.bob), async {
        // The stream has responded, so the waiting request is probably open as well; if not, it is refused too.
        scene.world.delete(&member, &root).await.assert_status(204);
    });
    waited.refused(404, "not_found");
    while let Some(chunk) = stream.chunk().await.unwrap() {
        let text = String::from_utf8_lossy(&chunk).into_owned();
        assert!(!text.contains("event: status"), "{text}");
    }
}
