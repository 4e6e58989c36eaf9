//! Registration tokens, for machines that cannot use a JIT config: off by default, with labels checked after the runner
//! has registered, because GitHub does not bind them.

mod runners;

use chrono::TimeDelta;
use domain::InstallationId;
use github_twin::{Fault, FaultKind, RunnerChange, RunnerSpec};
use harness::{Builder, Person, World, team_draft, wait_until};
use scheduler::{
    sync::{self, PageCache},
    unused,
};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use store::UserDraft;
use uuid::Uuid;

/// A team with one user who may request tokens and one who may not.
struct Scene {
    world: World,
    ada: Person,
    bob: Person,
    root: Person,
}

impl Scene {
    async fn new() -> Self {
        Self::with(World::builder()).await
    }

    async fn with(builder: Builder) -> Self {
        let world = builder.registration_tokens().start().await;
        let mut team = team_draft("red");
        team.max_runners = Some(2);
        let red = world.team(team).await;
        let may = UserDraft { can_use_registration_token: true, ..world.user_draft("ada") };
        let ada = world.person(may, &[&red]).await;
        let (bob, root) = (world.user("bob", &[&red]).await, world.admin().await);
        Self { world, ada, bob, root }
    }

    async fn request_token(&self, name: &str) -> Value {
        self.world.post("/runners/provision", &self.ada, &provision_body(name)).await.assert_status(201).body
    }

    /// Registers a runner as `config.sh` does with a token.
    fn register_runner(&self, name: &str, labels: &[&str], state: RunnerChange) -> u64 {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let spec = RunnerSpec { name: name.into(), scope: None, labels, ephemeral: false, state };
        self.world.twin.create_runner(spec).unwrap().id
    }

    async fn run_sync(&self) {
        let passed =
            sync::run(&self.world.scheduler_parts(), &InstallationId::default(), &mut PageCache::default())
                .await;
        assert_eq!(passed.unwrap().result, "ok");
    }

    async fn runner(&self, made: &Value) -> Value {
        let path = format!("/runners/{}", made["runner_id"].as_str().unwrap());
        self.world.get(&path, &self.ada).await.assert_status(200).body
    }

    async fn count_label_violations(&self) -> i64 {
        self.count_security_events("label_policy_violation").await
    }

    async fn count_security_events(&self, event_type: &str) -> i64 {
        let path = format!("/admin/security-events?event_type={event_type}");
        self.world.get(&path, &self.root).await.assert_status(200).body["total"].as_i64().unwrap()
    }

    async fn wait_for_no_open_job(&self) {
        wait_until("no open job", || async {
            self.world.count("SELECT count(*) FROM jobs WHERE finished_at IS NULL").await == 0
        })
        .await;
    }

    fn is_on_github(&self, id: u64) -> bool {
        self.world.twin.runners().iter().any(|runner| runner.id == id)
    }

    fn count_requests(&self, path: &str) -> usize {
        self.world.twin.ledger().entries.iter().filter(|entry| entry.template.ends_with(path)).count()
    }
}

fn provision_body(name: &str) -> Value {
    json!({ "runner_name": name, "labels": ["self-hosted", "gpu-1"] })
}

#[tokio::test]
async fn registration_tokens_need_the_setting_and_the_permission() {
    let off = World::builder().start().await;
    let red = off.team(team_draft("red")).await;
    let may = UserDraft { can_use_registration_token: true, ..off.user_draft("ada") };
    let ada = off.person(may, &[&red]).await;
    off.post("/runners/provision", &ada, &provision_body("old-1"))
        .await
        .refused(403, "registration_tokens_disabled");

    let scene = Scene::new().await;
    let refused = scene.world.post("/runners/provision", &scene.bob, &provision_body("old-1")).await;
    refused.refused(403, "registration_token_not_allowed");
    let machine = {
        let blue = scene.world.team(team_draft("blue")).await;
        scene.world.machine("ci", &blue).await
    };
    let refused = scene.world.post("/runners/provision", &machine, &provision_body("old-1")).await;
    refused.refused(403, "registration_token_not_allowed");
    let bad = json!({ "runner_name": "old-1", "labels": ["prod"] });
    scene.world.post("/runners/provision", &scene.ada, &bad).await.refused(403, "label_policy_violation");
    let odd = json!({ "runner_name": "old 1", "runner_group_id": 2 });
    scene.world.post("/runners/provision", &scene.ada, &odd).await.refused(422, "validation_failed");
    assert_eq!(scene.count_requests("registration-token"), 0);
    assert_eq!(scene.world.count("SELECT count(*) FROM runners").await, 0);
    let refusals = "SELECT count(*) FROM audit_log WHERE event_type = 'runner.register' AND NOT success";
    assert_eq!(scene.world.count(refusals).await, 3);
}

#[tokio::test]
async fn token_is_returned_with_its_command_and_not_stored() {
    let scene = Scene::new().await;
    let made = scene.request_token("old-1").await;
    let token = made["registration_token"].as_str().unwrap();
    assert_eq!(made["labels"], json!(["team-red", "self-hosted", "gpu-1"]));
    assert_eq!((&made["ephemeral"], &made["runner_group_id"]), (&json!(true), &json!(1)));
    assert_eq!(
        made["configuration_command"].as_str().unwrap(),
        format!(
            "./config.sh --unattended --url 'https://github.test/default' --token '{token}' --name 'old-1' \
             --labels 'team-red,self-hosted,gpu-1' --ephemeral"
        )
    );
    assert_eq!(scene.count_requests("registration-token"), 1);
    assert_eq!(scene.runner(&made).await["status"], "pending");

    let job: Uuid = made["job_id"].as_str().unwrap().parse().unwrap();
    let again = scene.world.credential(&scene.ada, job).await.assert_status(200);
    assert_eq!(
        (again.body["registration_token"].as_str(), again.header("cache-control")),
        (Some(token), "no-store")
    );
    scene.world.credential(&scene.bob, job).await.refused(403, "credential_denied");
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'",
    )
    .fetch_all(scene.world.sql())
    .await
    .unwrap();
    for table in tables {
        let sql = AssertSqlSafe(format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t"));
        let text: String = sqlx::query_scalar(sql).fetch_one(scene.world.sql()).await.unwrap();
        assert!(!text.contains(token), "{table}");
    }
    assert!(!scene.world.redis().dump().await.contains(token));
    assert!(!harness::logs::recorded().contains(token));
}

#[tokio::test]
async fn request_without_wait_returns_the_same_job_for_its_key() {
    let scene = Scene::new().await;
    let ask = |body: Value| {
        let ask = scene.world.ask("POST", "/runners/provision").by(&scene.ada);
        ask.header("prefer", "respond-async").header("idempotency-key", "k1").json(&body).send()
    };
    let first = ask(provision_body("old-1")).await.assert_status(202).body;
    assert_eq!(ask(provision_body("old-1")).await.assert_status(202).body["job_id"], first["job_id"]);
    ask(provision_body("old-2")).await.refused(422, "idempotency_mismatch");
    let job: Uuid = first["job_id"].as_str().unwrap().parse().unwrap();
    let done = scene.world.until_final(&scene.ada, job).await;
    assert_eq!((&done["state"], &done["kind"]), (&json!("succeeded"), &json!("register")));
    let handed = scene.world.credential(&scene.ada, job).await.assert_status(200).body;
    assert_eq!(handed["runner_name"], "old-1");
    scene
        .world
        .post("/runners/provision", &scene.ada, &provision_body("old-1"))
        .await
        .refused(409, "runner_name_conflict");
}

#[tokio::test]
async fn lost_token_response_is_requested_again() {
    let scene = Scene::new().await;
    scene.world.twin.fault(Fault::once("POST", "registration-token", FaultKind::EffectThenDrop));
    let made = scene.request_token("old-1").await;
    assert_eq!(made["runner_name"], "old-1");
    assert_eq!(scene.count_requests("registration-token"), 2);
    assert_eq!(scene.world.count("SELECT count(*) FROM github_calls").await, 0, "there is no orphan");
}

#[tokio::test]
async fn self_registered_runner_is_bound_by_its_id_once_listed() {
    let scene = Scene::new().await;
    let made = scene.request_token("old-1").await;
    scene.run_sync().await;
    assert!(scene.runner(&made).await["github_runner_id"].is_null());
    let id = scene.register_runner("old-1", &["self-hosted", "team-red", "gpu-2"], RunnerChange::online());
    scene.run_sync().await;
    let there = scene.runner(&made).await;
    assert_eq!((&there["github_runner_id"], &there["status"]), (&json!(id), &json!("active")));
    assert_eq!(there["labels"], json!(["self-hosted", "team-red", "gpu-2"]));
    assert_eq!(scene.count_label_violations().await, 0);
    let shredded = "SELECT count(*) FROM credentials WHERE ciphertext IS NOT NULL";
    assert_eq!(scene.world.count(shredded).await, 0, "its token is used up");
    scene.run_sync().await;
    scene.wait_for_no_open_job().await;
    assert!(scene.is_on_github(id));
    let path = format!("/runners/{}", made["runner_id"].as_str().unwrap());
    scene.world.delete(&path, &scene.ada).await.assert_status(202);
    scene.wait_for_no_open_job().await;
    assert!(!scene.is_on_github(id));
}

#[tokio::test]
async fn early_job_does_not_hide_a_self_registered_runner() {
    let scene = Scene::with(World::builder().webhooks("a webhook secret of the tests")).await;
    let made = scene.request_token("old-1").await;
    scene.run_sync().await;
    let id = scene.register_runner("old-1", &["self-hosted", "team-red", "gpu-2"], RunnerChange::online());
    let due = || async {
        let (home, long) = (InstallationId::default(), TimeDelta::hours(1));
        scene.world.store().conn().await.unwrap().sync_runs().is_due(&home, long).await.unwrap()
    };
    assert!(!due().await);
    let control = scene.world.twin.control();
    let job = control.queue_job("acme/web", &["gpu-2"]).unwrap();
    control.start_job(job.id, id).unwrap();
    scene.world.twin.webhooks_sent().await;
    scheduler::inbox::run(scene.world.scheduler_parts()).await.unwrap();
    assert_eq!(scene.runner(&made).await["status"], "pending", "a name alone does not bind a runner");
    assert!(due().await, "a sync run follows at once");
    assert_eq!(
        scene.count_security_events("label_policy_violation_workflow").await,
        0,
        "its team allows the label"
    );

    scene.run_sync().await;
    let there = scene.runner(&made).await;
    assert_eq!((&there["github_runner_id"], &there["status"]), (&json!(id), &json!("active")));
    assert_eq!(
        (&there["busy"], &there["labels"]),
        (&json!(true), &json!(["self-hosted", "team-red", "gpu-2"]))
    );
    assert!(scene.is_on_github(id));
    control.complete_job(job.id, github_twin::Conclusion::Success).unwrap();
    let path = format!("/runners/{}", made["runner_id"].as_str().unwrap());
    scene.world.delete(&path, &scene.ada).await.assert_status(202);
    scene.wait_for_no_open_job().await;
    assert!(!scene.is_on_github(id));
}

#[tokio::test]
async fn unused_token_frees_its_quota_without_a_deletion() {
    let scene = Scene::new().await;
    let (never, late) = (scene.request_token("old-1").await, scene.request_token("old-2").await);
    scene
        .world
        .post("/runners/provision", &scene.ada, &provision_body("old-3"))
        .await
        .refused(403, "quota_exceeded");
    let mut parts = scene.world.scheduler_parts();
    parts.sync.config_life = TimeDelta::minutes(5);
    assert_eq!(unused::run(parts.clone()).await.unwrap(), 0, "the token is still valid");
    sqlx::query("UPDATE runners SET registered_at = registered_at - interval '71 minutes'")
        .execute(scene.world.sql())
        .await
        .unwrap();
    let id = scene.register_runner("old-2", &["team-red"], RunnerChange::offline());
    assert_eq!(unused::run(parts).await.unwrap(), 2);
    wait_until("the first row is deleted", || async { scene.runner(&never).await["status"] == "deleted" })
        .await;
    assert_eq!(scene.runner(&late).await["status"], "pending", "it registered itself at the last moment");
    scene.run_sync().await;
    wait_until("its removal job has looked it up", || async {
        scene.world.make_due(domain::Lane::Deprovision).await;
        scene.world.count("SELECT count(*) FROM jobs WHERE finished_at IS NULL").await == 0
    })
    .await;
    assert!(scene.is_on_github(id), "a registered runner may be started at any time");
    assert_eq!(scene.runner(&late).await["github_runner_id"], json!(id));
    assert_eq!(scene.world.twin.ledger().entries.iter().filter(|e| e.method == "DELETE").count(), 0);
    scene.request_token("old-3").await;
}
