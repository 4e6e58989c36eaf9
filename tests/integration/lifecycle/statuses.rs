//! Status changes of many runners at once.

use github_twin::RunnerChange;
use scheduler::sync::PageCache;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{LIST, ONE, Ours, Scene};

impl Scene {
    /// Returns `many` runners that should stay.
    async fn create_lasting_runners(&self, many: usize) -> Vec<Ours> {
        let mut fleet = Vec::new();
        for _ in 0..many {
            fleet.push(self.runner().await);
        }
        sqlx::query("UPDATE runners SET ephemeral = false").execute(self.world.sql()).await.unwrap();
        fleet
    }

    /// Returns `many` runners, the first `gone` of which GitHub has lost, with their removal held back after two
    /// passes.
    async fn create_held_removals(&self, many: usize, gone: usize) -> Vec<Ours> {
        let fleet = self.create_lasting_runners(many).await;
        self.remove_from_github(&fleet[..gone]);
        assert_eq!((self.run_sync().await.missing, self.run_sync().await.result), (gone, "held"));
        fleet
    }

    fn remove_from_github(&self, runners: &[Ours]) {
        for runner in runners {
            self.world.twin.remove_runner(runner.github).unwrap();
        }
    }

    /// Sends an admin's approval and returns the approved scope.
    async fn approve(&self, body: Value) -> Value {
        self.world.post(TRIGGER, &self.root, &body).await.assert_status(202).body["confirmed"].clone()
    }

    async fn sync_status(&self) -> Value {
        let status = self.world.get("/admin/sync/status", &self.root).await.assert_status(200).body;
        status["installations"][0].clone()
    }
}

const TRIGGER: &str = "/admin/sync/trigger";

#[tokio::test]
async fn sync_with_too_many_removals_waits_for_approval() {
    let scene = Scene::new().await;
    let fleet = scene.create_held_removals(8, 6).await;
    let held = scene.run_sync().await;
    assert_eq!((held.result, held.sent, held.held), ("held", 0, 6));
    assert_eq!(scene.count_security_events("sync_blast_radius").await, 1);
    assert_eq!(scene.sync_status().await["removals_held"], 6);

    let body = json!({ "confirm_removals": true });
    scene.world.post(TRIGGER, &scene.ada, &body).await.refused(403, "admin_required");
    scene.world.post(TRIGGER, &scene.root, &json!({ "sure": true })).await.refused(422, "validation_failed");
    scene.world.ask("POST", TRIGGER).by(&scene.root).send().await.assert_status(202);
    assert_eq!(scene.run_sync().await.result, "held", "a triggered sync approves no removals");
    let elsewhere = json!({ "confirm_removals": true, "installation": "elsewhere" });
    scene.world.post(TRIGGER, &scene.root, &elsewhere).await.refused(422, "validation_failed");
    assert_eq!(scene.approve(body).await, json!(["default"]));
    assert_eq!(scene.sync_status().await["removals_confirmed"], true);
    let passed = scene.run_sync().await;
    assert_eq!((passed.result, passed.sent), ("ok", 6));
    for runner in &fleet[..6] {
        scene.wait_for_status(runner, "deleted").await;
    }
    assert_eq!(scene.status(&fleet[7]).await, "pending");
    assert_eq!(scene.sync_status().await["removals_confirmed"], false, "one approval covers one sync run");
    assert_eq!(scene.count_deletions(), 0);
}

#[tokio::test]
async fn approval_applies_only_to_held_removals() {
    let scene = Scene::new().await;
    let fleet = scene.create_lasting_runners(7).await;
    scene.run_sync().await;
    assert_eq!(scene.approve(json!({ "confirm_removals": true })).await, json!([]));
    scene.remove_from_github(&fleet[..6]);
    assert_eq!((scene.run_sync().await.missing, scene.run_sync().await.result), (6, "held"));
    let here = json!({ "confirm_removals": true, "installation": "default" });
    assert_eq!(scene.approve(here).await, json!(["default"]));
    assert_eq!(scene.run_sync().await.sent, 6);
}

#[tokio::test]
async fn approval_expires_after_fifteen_minutes() {
    let scene = Scene::new().await;
    scene.create_held_removals(7, 6).await;
    scene.approve(json!({ "confirm_removals": true })).await;
    let late = "UPDATE sync_status SET removals_allowed_at = removals_allowed_at - interval '15 minutes'";
    sqlx::query(late).execute(scene.world.sql()).await.unwrap();
    assert_eq!(scene.sync_status().await["removals_confirmed"], false);
    let passed = scene.run_sync().await;
    assert_eq!((passed.result, passed.sent), ("held", 0));
}

#[tokio::test]
async fn approval_does_not_cover_many_more_removals() {
    let scene = Scene::new().await;
    let fleet = scene.create_held_removals(20, 6).await;
    scene.remove_from_github(&fleet[6..18]);
    assert_eq!(scene.run_sync().await.result, "held");
    // The approval covers six removals; the next pass has missed twelve more runners twice.
    scene.approve(json!({ "confirm_removals": true })).await;
    let passed = scene.run_sync().await;
    assert_eq!((passed.result, passed.sent, passed.held), ("held", 0, 18));
    assert_eq!(
        scene.count_security_events("sync_blast_radius").await,
        2,
        "the approval does not cover the new removals"
    );
    assert_eq!(scene.run_sync().await.result, "held", "the approval has expired");
    scene.approve(json!({ "confirm_removals": true })).await;
    assert_eq!(scene.run_sync().await.sent, 18);
}

#[tokio::test]
async fn busy_drifted_runners_count_towards_the_removal_limit() {
    let scene = Scene::new().await;
    let mut fleet = Vec::new();
    for _ in 0..7 {
        fleet.push(scene.runner().await);
    }
    for runner in &fleet[..6] {
        scene.change_on_github(runner, RunnerChange::busy());
        scene.change_on_github(runner, RunnerChange::labels(["production"]));
    }
    let passed = scene.run_sync().await;
    assert_eq!(
        (passed.result, passed.sent, passed.held),
        ("held", 0, 6),
        "they are idle by the time of a check"
    );
}

#[tokio::test]
async fn ten_thousand_runners_cost_a_hundred_requests() {
    const MANY: usize = 9_999;
    let scene = Scene::new().await;
    let model = scene.runner().await;
    scene.add_unmanaged("big", MANY);
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
    scene.change_on_github(&model, RunnerChange::online());
    scene.world.twin.control().clear_ledger();

    let mut memory = PageCache::default();
    let passed = scene.run_sync_with(&mut memory).await;
    assert_eq!((passed.result, passed.listed, passed.changed, passed.sent), ("ok", 10_000, 10_000, 0));
    assert_eq!(scene.count_requests("GET", LIST), 100);
    let told = "SELECT count(*) FROM runner_events WHERE to_status = 'active' AND source = 'sync'";
    assert_eq!(scene.world.count(told).await, 10_000);

    let again = scene.run_sync_with(&mut memory).await;
    assert_eq!((again.result, again.changed, again.requests), ("ok", 0, 100));
    let unchanged = scene.world.twin.ledger().entries.iter().filter(|entry| entry.status == 304).count();
    assert_eq!(unchanged, 100, "an unchanged page is free of the hourly window");
    assert_eq!((scene.count_requests("GET", ONE), scene.count_deletions()), (0, 0));
    assert_eq!(scene.world.count("SELECT count(*) FROM unmanaged_runners").await, 0);
}
