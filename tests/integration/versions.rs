//! Warnings about runner versions that GitHub will soon refuse.

use chrono::TimeDelta;
use domain::InstallationId;
use github_twin::{Deprecation, RunnerChange};
use harness::{Accepted, Person, World, team_draft};
use scheduler::{
    runner_versions,
    sync::{self, PageCache},
};
use serde_json::{Value, json};

struct Scene {
    world: World,
    ada: Person,
    root: Person,
}

impl Scene {
    async fn new() -> Self {
        let world = World::start().await;
        let red = world.team(team_draft("red")).await;
        let (ada, root) = (world.user("ada", &[&red]).await, world.admin().await);
        Self { world, ada, root }
    }

    async fn runner(&self, version: &str) -> Accepted {
        let asked = self.world.provision(&self.ada, versioned_body(version)).await;
        assert_eq!(self.world.until_final(&self.ada, asked.job).await["state"], "succeeded");
        asked
    }

    /// Makes GitHub accept this version for `days` more days, and run it for ten days longer.
    fn deprecate_in_days(&self, version: &str, days: i64) {
        let at = |days| self.world.twin.control().now() + TimeDelta::days(days);
        let told = Deprecation { registration_deprecates_at: at(days), runtime_deprecates_at: at(days + 10) };
        self.world.twin.control().deprecate(version, Some(told));
    }

    async fn run_check(&self) -> u64 {
        runner_versions::run(self.world.scheduler_parts()).await.unwrap()
    }

    async fn list_versions(&self) -> Value {
        self.world.get("/admin/runners/versions", &self.root).await.assert_status(200).body["versions"]
            .clone()
    }

    fn count_requests(&self) -> usize {
        let ledger = self.world.twin.ledger();
        ledger.entries.iter().filter(|entry| entry.template.ends_with("/deprecations/{version}")).count()
    }

    async fn security_events(&self) -> Value {
        let path = "/admin/security-events?event_type=runner_version_deprecated";
        self.world.get(path, &self.root).await.assert_status(200).body["events"].clone()
    }
}

fn versioned_body(version: &str) -> Value {
    json!({ "runner_name_prefix": "ci", "runner_version": version })
}

#[tokio::test]
async fn stated_old_version_gives_a_warning() {
    let scene = Scene::new().await;
    for (version, days) in [("2.300.0", 3), ("2.200.0", -1), ("2.336.0", 60)] {
        scene.deprecate_in_days(version, days);
        scene.runner(version).await;
    }
    scene.run_check().await;
    let codes = [
        ("2.300.0", Some("runner_version_deprecated_soon")),
        ("2.200.0", Some("runner_version_deprecated")),
        ("2.336.0", None),
        ("2.1.0", None),
    ];
    for (version, code) in codes {
        let accepted = scene.world.jit(&scene.ada, &versioned_body(version)).await.assert_status(202).body;
        assert_eq!(accepted["warnings"][0]["code"].as_str(), code, "{version}");
        let waited = scene.world.ask("POST", "/runners/jit").by(&scene.ada).header("prefer", "wait=20");
        let served = waited.json(&versioned_body(version)).send().await.assert_status(201).body;
        assert_eq!(served["warnings"][0]["code"].as_str(), code, "{version}");
    }
    for bad in ["2.336", "v2.336.0", "2.336.0-rc1", ""] {
        let refused = scene.world.jit(&scene.ada, &versioned_body(bad)).await;
        let refused = refused.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), ["/runner_version"], "{bad}");
    }
}

#[tokio::test]
async fn versions_are_counted_by_githubs_deprecation_dates() {
    let scene = Scene::new().await;
    let (told, stated) = (scene.runner("2.300.0").await, scene.runner("2.300.0").await);
    let shown =
        scene.world.get(&format!("/runners/{}", told.runner), &scene.ada).await.assert_status(200).body;
    assert_eq!((&shown["stated_version"], &shown["version"]), (&json!("2.300.0"), &Value::Null));
    let name = shown["runner_name"].as_str().unwrap();
    let online = RunnerChange { version: Some("2.336.0".into()), ..RunnerChange::online() };
    scene.world.twin.set_runner(scene.world.twin.runner(name).unwrap().id, online).unwrap();
    sync::run(&scene.world.scheduler_parts(), &InstallationId::default(), &mut PageCache::default())
        .await
        .unwrap();
    scene.run_check().await;

    let shown =
        scene.world.get(&format!("/runners/{}", told.runner), &scene.ada).await.assert_status(200).body;
    assert_eq!(shown["version"], "2.336.0");
    let other =
        scene.world.get(&format!("/runners/{}", stated.runner), &scene.ada).await.assert_status(200).body;
    assert!(other["version"].is_null());
    let list = scene.list_versions().await;
    let rows: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["version"].as_str().unwrap(),
                row["runners"].as_i64().unwrap(),
                row["stated"].as_i64().unwrap(),
                row["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(rows, [("2.300.0", 0, 1, "current"), ("2.336.0", 1, 0, "current")]);
    scene.world.get("/admin/runners/versions", &scene.ada).await.refused(403, "admin_required");
}

#[tokio::test]
async fn each_deprecation_stage_is_reported_once() {
    let scene = Scene::new().await;
    scene.deprecate_in_days("2.300.0", 3);
    scene.runner("2.300.0").await;
    scene.runner("2.300.0").await;
    assert_eq!((scene.run_check().await, scene.run_check().await), (1, 0));
    assert_eq!(scene.count_requests(), 1, "one fetch per day is enough");
    let alarms = scene.security_events().await;
    let data = &alarms[0]["violation_data"];
    assert_eq!(
        (&data["version"], &data["runners"], &data["state"]),
        (&json!("2.300.0"), &json!(2), &json!("deprecated_soon"))
    );

    scene.deprecate_in_days("2.300.0", -1);
    let yesterday = "UPDATE runner_versions SET checked_at = checked_at - interval '25 hours'";
    sqlx::query(yesterday).execute(scene.world.sql()).await.unwrap();
    assert_eq!((scene.run_check().await, scene.count_requests()), (1, 2));
    let alarms = scene.security_events().await;
    assert_eq!((alarms.as_array().unwrap().len(), &alarms[0]["severity"]), (2, &json!("medium")));
}

#[tokio::test]
async fn unknown_deprecation_dates_give_no_warning() {
    let scene = Scene::new().await;
    scene.world.twin.control().deprecate("2.300.0", None);
    scene.runner("2.300.0").await;
    assert_eq!((scene.run_check().await, scene.run_check().await, scene.count_requests()), (0, 0, 1));
    let list = scene.list_versions().await;
    assert_eq!(
        (&list[0]["state"], &list[0]["registration_deprecates_at"]),
        (&json!("unknown"), &Value::Null)
    );
    assert!(
        scene.world.jit(&scene.ada, &versioned_body("2.300.0")).await.assert_status(202).body["warnings"]
            .is_null()
    );
    assert_eq!(scene.security_events().await, json!([]));
}

#[tokio::test]
async fn failed_deprecation_request_is_repeated() {
    let scene = Scene::new().await;
    scene.deprecate_in_days("2.300.0", 3);
    scene.runner("2.300.0").await;
    let fault =
        github_twin::Fault::once("GET", "deprecations", github_twin::FaultKind::Status { status: 500 });
    scene.world.twin.control().fault(fault).unwrap();
    assert!(matches!(
        runner_versions::run(scene.world.scheduler_parts()).await,
        Err(scheduler::StepError::GitHub(_))
    ));
    assert_eq!(scene.run_check().await, 1);
}
