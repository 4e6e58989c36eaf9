//! Registration tokens: for machines that cannot take a JIT config, off unless switched on, and their labels checked
//! afterwards, since nothing binds them before.

use chrono::TimeDelta;
use domain::InstallationId;
use github_twin::{Fault, FaultKind, RunnerChange, RunnerSpec, TwinConfig};
use harness::{Builder, More, Person, World, team_draft, wait_until};
use runtime::config::LabelEnforcement;
use scheduler::{
    sync::{self, PageCache},
    unused,
};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use store::{TeamDraft, UserDraft};
use uuid::Uuid;

/// A team, one person who may have tokens and one who may not.
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

    async fn token(&self, name: &str) -> Value {
        self.world.post("/runners/provision", &self.ada, &wish(name)).await.assert_status(201).body
    }

    /// What `config.sh` does with a token.
    fn registers(&self, name: &str, labels: &[&str], state: RunnerChange) -> u64 {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let spec = RunnerSpec { name: name.into(), scope: None, labels, ephemeral: false, state };
        self.world.twin.create_runner(spec).unwrap().id
    }

    async fn pass(&self) {
        let passed =
            sync::run(&self.world.scheduling(), &InstallationId::default(), &mut PageCache::default()).await;
        assert_eq!(passed.unwrap().result, "ok");
    }

    async fn runner(&self, made: &Value) -> Value {
        let path = format!("/runners/{}", made["runner_id"].as_str().unwrap());
        self.world.get(&path, &self.ada).await.assert_status(200).body
    }

    async fn alarms(&self) -> i64 {
        self.alarmed("label_policy_violation").await
    }

    async fn alarmed(&self, event_type: &str) -> i64 {
        let path = format!("/admin/security-events?event_type={event_type}");
        self.world.get(&path, &self.root).await.assert_status(200).body["total"].as_i64().unwrap()
    }

    async fn quiet(&self) {
        wait_until("no open job", || async {
            self.world.count("SELECT count(*) FROM jobs WHERE finished_at IS NULL").await == 0
        })
        .await;
    }

    fn there(&self, id: u64) -> bool {
        self.world.twin.runners().iter().any(|runner| runner.id == id)
    }

    fn asked(&self, path: &str) -> usize {
        self.world.twin.ledger().entries.iter().filter(|entry| entry.template.ends_with(path)).count()
    }
}

fn wish(name: &str) -> Value {
    json!({ "runner_name": name, "labels": ["self-hosted", "gpu-1"] })
}

#[tokio::test]
async fn registration_tokens_need_the_setting_and_the_permission() {
    let off = World::builder().start().await;
    let red = off.team(team_draft("red")).await;
    let may = UserDraft { can_use_registration_token: true, ..off.user_draft("ada") };
    let ada = off.person(may, &[&red]).await;
    off.post("/runners/provision", &ada, &wish("old-1")).await.refused(403, "registration_tokens_disabled");

    let scene = Scene::new().await;
    let refused = scene.world.post("/runners/provision", &scene.bob, &wish("old-1")).await;
    refused.refused(403, "registration_token_not_allowed");
    let machine = {
        let blue = scene.world.team(team_draft("blue")).await;
        scene.world.machine("ci", &blue).await
    };
    let refused = scene.world.post("/runners/provision", &machine, &wish("old-1")).await;
    refused.refused(403, "registration_token_not_allowed");
    let bad = json!({ "runner_name": "old-1", "labels": ["prod"] });
    scene.world.post("/runners/provision", &scene.ada, &bad).await.refused(403, "label_policy_violation");
    let odd = json!({ "runner_name": "old 1", "runner_group_id": 2 });
    scene.world.post("/runners/provision", &scene.ada, &odd).await.refused(422, "validation_failed");
    assert_eq!(scene.asked("registration-token"), 0);
    assert_eq!(scene.world.count("SELECT count(*) FROM runners").await, 0);
    let refusals = "SELECT count(*) FROM audit_log WHERE event_type = 'runner.register' AND NOT success";
    assert_eq!(scene.world.count(refusals).await, 3);
}

#[tokio::test]
async fn a_token_comes_with_the_command_that_uses_it_and_is_kept_nowhere_else() {
    let scene = Scene::new().await;
    let made = scene.token("old-1").await;
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
    assert_eq!(scene.asked("registration-token"), 1);
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
    assert!(!harness::logs::text().contains(token));
}

#[tokio::test]
async fn a_request_without_wait_returns_the_job_and_its_key_the_same_job() {
    let scene = Scene::new().await;
    let ask = |body: Value| {
        let ask = scene.world.ask("POST", "/runners/provision").by(&scene.ada);
        ask.header("prefer", "respond-async").header("idempotency-key", "k1").json(&body).send()
    };
    let first = ask(wish("old-1")).await.assert_status(202).body;
    assert_eq!(ask(wish("old-1")).await.assert_status(202).body["job_id"], first["job_id"]);
    ask(wish("old-2")).await.refused(422, "idempotency_mismatch");
    let job: Uuid = first["job_id"].as_str().unwrap().parse().unwrap();
    let done = scene.world.until_final(&scene.ada, job).await;
    assert_eq!((&done["state"], &done["kind"]), (&json!("succeeded"), &json!("register")));
    let handed = scene.world.credential(&scene.ada, job).await.assert_status(200).body;
    assert_eq!(handed["runner_name"], "old-1");
    scene
        .world
        .post("/runners/provision", &scene.ada, &wish("old-1"))
        .await
        .refused(409, "runner_name_conflict");
}

#[tokio::test]
async fn a_lost_answer_is_simply_asked_for_again() {
    let scene = Scene::new().await;
    scene.world.twin.fault(Fault::once("POST", "registration-token", FaultKind::EffectThenDrop));
    let made = scene.token("old-1").await;
    assert_eq!(made["runner_name"], "old-1");
    assert_eq!(scene.asked("registration-token"), 2);
    assert_eq!(scene.world.count("SELECT count(*) FROM github_calls").await, 0, "there is nothing to reap");
}

#[tokio::test]
async fn once_listed_it_is_known_by_its_id_and_lives_like_any_other() {
    let scene = Scene::new().await;
    let made = scene.token("old-1").await;
    scene.pass().await;
    assert!(scene.runner(&made).await["github_runner_id"].is_null());
    let id = scene.registers("old-1", &["self-hosted", "team-red", "gpu-2"], RunnerChange::online());
    scene.pass().await;
    let there = scene.runner(&made).await;
    assert_eq!((&there["github_runner_id"], &there["status"]), (&json!(id), &json!("active")));
    assert_eq!(there["labels"], json!(["self-hosted", "team-red", "gpu-2"]));
    assert_eq!(scene.alarms().await, 0);
    let shredded = "SELECT count(*) FROM credentials WHERE ciphertext IS NOT NULL";
    assert_eq!(scene.world.count(shredded).await, 0, "the token is of no use to it any more");
    scene.pass().await;
    scene.quiet().await;
    assert!(scene.there(id));
    let path = format!("/runners/{}", made["runner_id"].as_str().unwrap());
    scene.world.delete(&path, &scene.ada).await.assert_status(202);
    scene.quiet().await;
    assert!(!scene.there(id));
}

#[tokio::test]
async fn a_job_before_the_first_pass_does_not_hide_the_runner() {
    let scene = Scene::with(World::builder().webhooks("a webhook secret of the tests")).await;
    let made = scene.token("old-1").await;
    scene.pass().await;
    let id = scene.registers("old-1", &["self-hosted", "team-red", "gpu-2"], RunnerChange::online());
    let due = || async {
        let (home, long) = (InstallationId::default(), TimeDelta::hours(1));
        scene.world.store().conn().await.unwrap().sync_runs().is_due(&home, long).await.unwrap()
    };
    assert!(!due().await);
    let control = scene.world.twin.control();
    let job = control.queue_job("acme/web", &["gpu-2"]).unwrap();
    control.start_job(job.id, id).unwrap();
    scene.world.twin.webhooks_sent().await;
    scheduler::inbox::run(scene.world.scheduling()).await.unwrap();
    assert_eq!(scene.runner(&made).await["status"], "pending", "its name alone does not say that it is ours");
    assert!(due().await, "a pass comes at once");
    assert_eq!(scene.alarmed("label_policy_violation_workflow").await, 0, "its team allows the label");

    scene.pass().await;
    let there = scene.runner(&made).await;
    assert_eq!((&there["github_runner_id"], &there["status"]), (&json!(id), &json!("active")));
    assert_eq!(
        (&there["busy"], &there["labels"]),
        (&json!(true), &json!(["self-hosted", "team-red", "gpu-2"]))
    );
    assert!(scene.there(id));
    control.complete_job(job.id, github_twin::Conclusion::Success).unwrap();
    let path = format!("/runners/{}", made["runner_id"].as_str().unwrap());
    scene.world.delete(&path, &scene.ada).await.assert_status(202);
    scene.quiet().await;
    assert!(!scene.there(id));
}

#[tokio::test]
async fn labels_that_break_the_policy_cost_the_runner_its_place() {
    let scene = Scene::new().await;
    let made = scene.token("old-1").await;
    let id = scene.registers("old-1", &["self-hosted", "prod"], RunnerChange::busy());
    scene.pass().await;
    assert_eq!(scene.alarms().await, 1);
    assert!(scene.there(id), "a busy one is left until it is idle");
    scene.world.twin.set_runner(id, RunnerChange::online()).unwrap();
    scene.pass().await;
    wait_until("it is removed", || async {
        scene.world.make_due(domain::Lane::Deprovision).await;
        !scene.there(id)
    })
    .await;
    scene.quiet().await;
    assert_eq!(scene.runner(&made).await["status"], "deleted");
    assert_eq!(scene.alarms().await, 1, "told once");
    let told = scene.world.get("/admin/security-events?event_type=label_policy_violation", &scene.root).await;
    let data = &told.body["events"][0]["violation_data"];
    assert_eq!((&data["missing"], &data["refused"]), (&json!(["team-red"]), &json!(["prod"])));
}

#[tokio::test]
async fn a_refused_runner_goes_although_its_first_order_met_another_job() {
    let scene = Scene::new().await;
    let made = scene.token("old-1").await;
    sqlx::query("UPDATE runners SET registered_at = registered_at - interval '71 minutes'")
        .execute(scene.world.sql())
        .await
        .unwrap();
    let id = scene.registers("old-1", &["team-red", "prod"], RunnerChange::offline());
    assert_eq!(unused::run(scene.world.scheduling()).await.unwrap(), 1);
    let waits = "SELECT count(*) FROM jobs WHERE kind = 'deprovision' AND state = 'queued' AND snoozes = 1";
    wait_until("the other job waits", || async { scene.world.count(waits).await == 1 }).await;
    scene.pass().await;
    assert_eq!(scene.alarms().await, 1);
    wait_until("the other job is over", || async {
        scene.world.make_due(domain::Lane::Deprovision).await;
        scene.world.count("SELECT count(*) FROM jobs WHERE finished_at IS NULL").await == 0
    })
    .await;
    assert!(scene.there(id), "for that one it is no leftover");
    scene.pass().await;
    wait_until("it is removed", || async { scene.runner(&made).await["status"] == "deleted" }).await;
    assert!(!scene.there(id));
    assert_eq!(scene.alarms().await, 1, "told once");
}

#[tokio::test]
async fn a_refused_runner_that_mends_its_ways_may_stay() {
    let scene = Scene::new().await;
    let made = scene.token("old-1").await;
    let id = scene.registers("old-1", &["team-red", "prod"], RunnerChange::online());
    // Its removal is ordered by a pass that is held up.
    let path = format!("/runners/{}", made["runner_id"].as_str().unwrap());
    scene
        .world
        .queue()
        .pause_lane(domain::Lane::Deprovision, std::time::Duration::from_mins(5))
        .await
        .unwrap();
    scene.pass().await;
    scene.world.twin.set_runner(id, RunnerChange::labels(["team-red", "gpu-2"])).unwrap();
    let gone = "UPDATE jobs SET state = 'cancelled', finished_at = now() WHERE kind = 'deprovision' AND runner_id = $1";
    scene.world.change(gone, made["runner_id"].as_str().unwrap().parse().unwrap()).await;
    scene.pass().await;
    scene.quiet().await;
    let there = scene.world.get(&path, &scene.ada).await.assert_status(200).body;
    assert_eq!((&there["status"], &there["labels"]), (&json!("active"), &json!(["team-red", "gpu-2"])));
    assert!(scene.there(id));
}

#[tokio::test]
async fn a_runner_lands_in_its_group_or_goes() {
    let twin = TwinConfig {
        more_installations: vec![(6_161_616, "globex".to_owned())],
        groups: vec![(1, "Default".to_owned()), (2, "Build's own".to_owned())],
        ..TwinConfig::default()
    };
    let globex = More { default_group: 2, ..More::org("second", "globex") };
    let world = World::builder().registration_tokens().twin(twin).more(globex).start().await;
    let second: InstallationId = "second".parse().unwrap();
    let blue = world.team(TeamDraft { installation: second.clone(), ..team_draft("blue") }).await;
    let may = UserDraft { can_use_registration_token: true, ..world.user_draft("eve") };
    let (eve, root) = (world.person(may, &[&blue]).await, world.admin().await);
    let mut ids = Vec::new();
    for (name, group) in [("well", 2), ("astray", 1)] {
        let made = world.post("/runners/provision", &eve, &wish(name)).await.assert_status(201).body;
        let command = made["configuration_command"].as_str().unwrap();
        assert!(command.contains(r"--runnergroup 'Build'\''s own'"), "{command}");
        let state = RunnerChange { runner_group_id: Some(group), ..RunnerChange::online() };
        let (scope, labels) = (Some("orgs/globex".to_owned()), vec!["team-blue".to_owned()]);
        let spec = RunnerSpec { name: name.to_owned(), scope, labels, ephemeral: true, state };
        ids.push(world.twin.create_runner(spec).unwrap().id);
    }
    sync::run(&world.scheduling(), &second, &mut PageCache::default()).await.unwrap();
    wait_until("the one that went astray is gone", || async {
        world.twin.runners().into_iter().map(|runner| runner.id).eq([ids[0]])
    })
    .await;
    let told =
        world.get("/admin/security-events?event_type=runner_group_violation", &root).await.assert_status(200);
    let data = &told.body["events"][0]["violation_data"];
    assert_eq!((&data["granted_group_id"], &data["found_group_id"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn a_label_violation_is_reported_and_left_in_audit_mode() {
    let scene = Scene::with(World::builder().enforcement(LabelEnforcement::Audit)).await;
    let made = scene.token("old-1").await;
    let id = scene.registers("old-1", &["prod"], RunnerChange::online());
    for _ in 0..2 {
        scene.pass().await;
        scene.quiet().await;
    }
    assert!(scene.there(id));
    assert_eq!((scene.alarms().await, &scene.runner(&made).await["status"]), (1, &json!("active")));
}

#[tokio::test]
async fn a_foreign_runner_of_the_same_name_is_never_bound() {
    let scene = Scene::new().await;
    let id = scene.registers("theirs", &["x"], RunnerChange::online());
    let refused = scene.world.post("/runners/provision", &scene.ada, &wish("theirs")).await;
    refused.refused(409, "runner_name_conflict");
    assert_eq!(scene.asked("registration-token"), 0);
    scene.pass().await;
    assert!(scene.there(id));

    // Listed before there was a token, and renamed into its place afterwards.
    let made = scene.token("old-1").await;
    scene.world.twin.remove_runner(id).unwrap();
    let known = scene.registers("old-1", &["prod"], RunnerChange::online());
    let long_known =
        "INSERT INTO unmanaged_runners (id, installation, github_runner_id, name, online, busy, labels,
        first_seen_at) VALUES ($1, 'default', (SELECT max(id) + 1 FROM (SELECT github_runner_id AS id FROM
        unmanaged_runners) known), 'other', true, false, '{}', now() - interval '1 day')";
    scene.world.change(long_known, Uuid::now_v7()).await;
    sqlx::query("UPDATE unmanaged_runners SET github_runner_id = $1 WHERE name = 'other'")
        .bind(i64::try_from(known).unwrap())
        .execute(scene.world.sql())
        .await
        .unwrap();
    scene.pass().await;
    scene.quiet().await;
    assert!(scene.there(known));
    assert!(scene.runner(&made).await["github_runner_id"].is_null());
    assert_eq!(scene.alarms().await, 0);
}

#[tokio::test]
async fn an_unused_token_frees_its_quota_without_a_deletion() {
    let scene = Scene::new().await;
    let (never, late) = (scene.token("old-1").await, scene.token("old-2").await);
    scene.world.post("/runners/provision", &scene.ada, &wish("old-3")).await.refused(403, "quota_exceeded");
    let mut parts = scene.world.scheduling();
    parts.sync.config_life = TimeDelta::minutes(5);
    assert_eq!(unused::run(parts.clone()).await.unwrap(), 0, "the token is still good");
    sqlx::query("UPDATE runners SET registered_at = registered_at - interval '71 minutes'")
        .execute(scene.world.sql())
        .await
        .unwrap();
    let id = scene.registers("old-2", &["team-red"], RunnerChange::offline());
    assert_eq!(unused::run(parts).await.unwrap(), 2);
    wait_until("the first is gone", || async { scene.runner(&never).await["status"] == "deleted" }).await;
    assert_eq!(scene.runner(&late).await["status"], "pending", "it registered itself at the last moment");
    scene.pass().await;
    wait_until("its job has looked", || async {
        scene.world.make_due(domain::Lane::Deprovision).await;
        scene.world.count("SELECT count(*) FROM jobs WHERE finished_at IS NULL").await == 0
    })
    .await;
    assert!(scene.there(id), "when it is started is its owner's affair");
    assert_eq!(scene.runner(&late).await["github_runner_id"], json!(id));
    assert_eq!(scene.world.twin.ledger().entries.iter().filter(|e| e.method == "DELETE").count(), 0);
    scene.token("old-3").await;
}
