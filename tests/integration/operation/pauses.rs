//! Pauses of lanes and installations, with reason, author and end.

use std::time::Duration;

use devstack::Server;
use harness::{ExtraInstallation, World, provision_body, team_draft, wait_until};
use serde_json::{Value, json};
use store::TeamDraft;

use super::Scene;

const PAUSE: &str = "/admin/queues/provision/pause";

/// Returns the only pause in an answer.
fn only_pause(body: &Value) -> &Value {
    let pauses = body["pauses"].as_array().unwrap();
    assert_eq!(pauses.len(), 1, "{body}");
    &pauses[0]
}

#[tokio::test]
async fn pause_shows_its_reason_author_and_end() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let (world, root) = (&scene.world, &scene.root);
    let body = json!({ "seconds": 600, "reason": "rolling out 2.4" });
    let answer = world.post(PAUSE, root, &body).await.assert_status(200).body;
    let pause = only_pause(&answer);
    assert_eq!((&pause["lane"], &pause["reason"]), (&json!("provision"), &json!("admin")));
    assert_eq!((&pause["admin_reason"], &pause["paused_by"]), (&body["reason"], &json!("root@example.com")));
    assert!(pause["ends_at"].as_str() > pause["paused_at"].as_str(), "{pause}");

    // A shorter pause changes nothing; a longer one has its own author and reason.
    world.post(PAUSE, root, &json!({ "seconds": 5, "reason": "mistake" })).await.assert_status(200);
    let queues = scene.admin_get("/admin/queues").await;
    assert_eq!(only_pause(&queues)["admin_reason"], "rolling out 2.4");
    let answer = world.post(PAUSE, root, &json!({ "seconds": 1200 })).await.assert_status(200).body;
    assert_eq!(only_pause(&answer)["admin_reason"], Value::Null, "a client of an earlier release names none");
    assert!(only_pause(&answer)["seconds_left"].as_u64() > Some(1100));

    let resume = world.ask("POST", "/admin/queues/provision/resume").by(root).send().await;
    assert_eq!(resume.assert_status(200).body["pauses"], json!([]));
    let log = scene.admin_get("/audit-logs?event_type=lane.pause").await;
    assert_eq!(log["logs"][2]["event_data"]["reason"], "rolling out 2.4");
    assert_eq!(world.count("SELECT count(*) FROM audit_log WHERE event_type = 'lane.resume'").await, 1);
}

#[tokio::test]
async fn bad_pause_is_refused_and_writes_nothing() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let (world, root) = (&scene.world, &scene.root);
    for (body, pointer) in [
        (json!({ "seconds": 0 }), "/seconds"),
        (json!({ "seconds": 86_401 }), "/seconds"),
        (json!({ "seconds": 60, "reason": "" }), "/reason"),
        (json!({ "seconds": 60, "reason": "x".repeat(501) }), "/reason"),
        (json!({ "seconds": 60, "note": "x" }), "/note"),
    ] {
        for path in [PAUSE, "/admin/installations/default/pause"] {
            let refused = world.post(path, root, &body).await.refused(422, "validation_failed");
            assert_eq!(refused.pointers(), [pointer], "{body}");
        }
    }
    for path in ["/admin/installations/nowhere/pause", "/admin/installations/N%C3%96/pause"] {
        world.post(path, root, &json!({ "seconds": 60 })).await.refused(404, "not_found");
    }
    assert_eq!(world.count("SELECT count(*) FROM pauses").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM audit_log WHERE event_type LIKE '%.pause'").await, 0);
    assert_eq!(world.queue().pauses().await.unwrap(), []);
}

#[tokio::test]
async fn paused_installation_leaves_the_others_working() {
    let games = ExtraInstallation::org("games", "games-org");
    let mut twin = github_twin::TwinConfig::default();
    twin.more_installations.push((6_161_616, "games-org".to_owned()));
    let scene = Scene::with(World::builder().workers(1).twin(twin).installation(games)).await;
    let world = &scene.world;
    let blue = TeamDraft { installation: "games".parse().unwrap(), ..team_draft("blue") };
    let blue = world.team(blue).await;
    let bob = world.user("bob", &[&blue]).await;
    let pause = "/admin/installations/games/pause";
    let body = json!({ "seconds": 600, "reason": "moving the App" });
    let answer = world.post(pause, &scene.root, &body).await.assert_status(200).body;
    assert_eq!(only_pause(&answer)["installation"], "games");

    let held = world.provision(&bob, provision_body("ci")).await;
    let free = world.provision(&scene.ada, provision_body("ci")).await;
    assert_eq!(world.until_final(&scene.ada, free.job).await["state"], "succeeded");
    let job = world.job(&bob, held.job).await;
    assert_eq!((&job["state"], &job["blocked_on"]), (&json!("queued"), &json!("paused")));
    let budget = scene.admin_get("/admin/budget").await;
    let budgets = budget["budgets"].as_array().unwrap();
    let shown = budgets.iter().find(|one| one["installation"] == "games").unwrap();
    assert_eq!(only_pause(shown)["admin_reason"], "moving the App");

    let resume = "/admin/installations/games/resume";
    world.ask("POST", resume).by(&scene.root).send().await.assert_status(200);
    assert_eq!(world.until_final(&bob, held.job).await["state"], "succeeded");
}

#[tokio::test]
async fn pause_and_its_reason_survive_the_loss_of_redis() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let world = &scene.world;
    let body = json!({ "seconds": 600, "reason": "incident" });
    world.post(PAUSE, &scene.root, &body).await.assert_status(200);
    world.redis().flush().await;
    assert_eq!(world.queue().pauses().await.unwrap(), []);
    assert_eq!(scheduler::pauses::run(world.scheduler_parts()).await.unwrap(), 1);
    let queues = scene.admin_get("/admin/queues").await;
    assert_eq!(only_pause(&queues)["admin_reason"], "incident");
    assert_eq!(scheduler::pauses::run(world.scheduler_parts()).await.unwrap(), 0, "it is there already");

    // A pause that ended, or that an admin lifted, does not come back.
    sqlx::query("UPDATE pauses SET ends_at = now()").execute(world.sql()).await.unwrap();
    world.redis().flush().await;
    assert_eq!(scheduler::pauses::run(world.scheduler_parts()).await.unwrap(), 0);
    assert_eq!(world.queue().pauses().await.unwrap(), []);
}

#[tokio::test]
async fn resuming_does_not_end_a_suspension_by_github() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let world = &scene.world;
    let suspend = "UPDATE installations SET suspended_at = now(), suspended_github_id = 5151515";
    sqlx::query(suspend).execute(world.sql()).await.unwrap();
    let default = domain::InstallationId::default();
    world.queue().pause(&default, Duration::from_mins(2), queue::Reason::Suspended).await.unwrap();
    let pause = "/admin/installations/default/pause";
    world.post(pause, &scene.root, &json!({ "seconds": 60 })).await.assert_status(200);
    let resume = "/admin/installations/default/resume";
    let answer = world.ask("POST", resume).by(&scene.root).send().await.assert_status(200).body;
    assert_eq!(only_pause(&answer)["reason"], "suspended", "GitHub's suspension holds it");

    // The end of the suspension leaves an admin's pause.
    world.post(pause, &scene.root, &json!({ "seconds": 60 })).await.assert_status(200);
    assert_eq!(scheduler::suspension::run(world.scheduler_parts()).await.unwrap(), 1);
    assert_eq!(only_pause(&scene.admin_get("/admin/queues").await)["paused_by"], "root@example.com");
}

#[tokio::test]
async fn pause_without_redis_is_refused_and_not_written() {
    let scene = Scene::with(World::builder().own_servers().workers(0)).await;
    let world = &scene.world;
    world.servers(|stack| stack.halt(Server::Redis)).await;
    let body = json!({ "seconds": 60 });
    world.post(PAUSE, &scene.root, &body).await.refused(503, "queue_unavailable");
    assert_eq!(world.count("SELECT count(*) FROM pauses").await, 0);
    world.servers(|stack| stack.restart(Server::Redis)).await;
    wait_until("the API has found Redis", || async {
        world.post(PAUSE, &scene.root, &body).await.status == 200
    })
    .await;
}
