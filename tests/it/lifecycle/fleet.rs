//! Many runners at once.

use scheduler::snapshot::Memory;
use serde_json::json;
use twin::RunnerChange;
use uuid::Uuid;

use super::{LIST, ONE, Scene};

#[tokio::test]
async fn a_pass_that_would_remove_too_much_waits_for_an_admin() {
    let scene = Scene::new().await;
    let mut fleet = Vec::new();
    for _ in 0..8 {
        fleet.push(scene.runner().await);
    }
    for runner in &fleet[..6] {
        scene.world.twin.remove_runner(runner.github).unwrap();
    }
    assert_eq!((scene.pass().await.missing, scene.pass().await.result), (6, "held"));
    let held = scene.pass().await;
    assert_eq!((held.result, held.sent, held.held), ("held", 0, 6));
    assert_eq!(scene.alarms("sync_blast_radius").await, 1);
    let status = scene.world.get("/admin/sync/status", &scene.root).await.expect(200).body;
    assert_eq!(status["installations"][0]["removals_held"], 6);

    let (path, body) = ("/admin/sync/trigger", json!({ "confirm_removals": true }));
    scene.world.post(path, &scene.ada, &body).await.refused(403, "admin_required");
    scene.world.post(path, &scene.root, &json!({ "sure": true })).await.refused(422, "validation_failed");
    scene.world.ask("POST", path).by(&scene.root).send().await.expect(202);
    assert_eq!(scene.pass().await.result, "held", "asking for a pass is not confirming what it may do");
    scene.world.post(path, &scene.root, &body).await.expect(202);
    let passed = scene.pass().await;
    assert_eq!((passed.result, passed.sent), ("ok", 6));
    for runner in &fleet[..6] {
        scene.reaches(runner, "deleted").await;
    }
    assert_eq!(scene.status(&fleet[7]).await, "pending");
    let status = scene.world.get(path.replace("trigger", "status").as_str(), &scene.root).await.body;
    assert_eq!(status["installations"][0]["removals_confirmed"], false, "one word, one pass");
    assert_eq!(scene.deletions(), 0);
}

#[tokio::test]
async fn ten_thousand_runners_cost_a_hundred_requests() {
    const MANY: usize = 9_999;
    let scene = Scene::new().await;
    let model = scene.runner().await;
    scene.foreign("big", MANY);
    let runners = scene.world.twin.runners();
    let (github, names): (Vec<i64>, Vec<String>) = runners
        .iter()
        .filter(|runner| runner.id != model.github)
        .map(|runner| (i64::try_from(runner.id).unwrap(), runner.name.clone()))
        .unzip();
    let ids: Vec<Uuid> = names.iter().map(|_| Uuid::now_v7()).collect();
    let sql = "INSERT INTO runners (id, installation, team_id, owner_user, name, status, github_runner_id,
            runner_group_id, labels, registered_at, updated_at)
        SELECT new.id, installation, team_id, owner_user, new.name, 'pending', new.github, 1, '{theirs}',
            registered_at, updated_at
        FROM runners, unnest($2::uuid[], $3::bigint[], $4::text[]) AS new(id, github, name) WHERE runners.id = $1";
    let query = sqlx::query(sql).bind(model.id).bind(&ids).bind(&github).bind(&names);
    query.execute(scene.world.sql()).await.unwrap();
    scene.set(&model, RunnerChange::online());
    scene.world.twin.control().clear_ledger();

    let mut memory = Memory::default();
    let passed = scene.pass_with(&mut memory).await;
    assert_eq!((passed.result, passed.listed, passed.changed, passed.sent), ("ok", 10_000, 10_000, 0));
    assert_eq!(scene.requests("GET", LIST), 100);
    let told = "SELECT count(*) FROM runner_events WHERE to_status = 'active' AND source = 'sync'";
    assert_eq!(scene.world.count(told).await, 10_000);

    let again = scene.pass_with(&mut memory).await;
    assert_eq!((again.result, again.changed, again.requests), ("ok", 0, 100));
    let unchanged = scene.world.twin.ledger().entries.iter().filter(|entry| entry.status == 304).count();
    assert_eq!(unchanged, 100, "a page that did not change costs nothing of the hourly window");
    assert_eq!((scene.requests("GET", ONE), scene.deletions()), (0, 0));
}
