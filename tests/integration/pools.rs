//! App pools: several Apps serve one organisation, each with a budget of its own.

use std::{collections::BTreeMap, time::Duration};

use domain::{InstallationId, Lane};
use github_twin::{Fault, FaultKind, Ledger, TwinConfig};
use harness::{Accepted, Builder, ExtraInstallation, Person, World, provision_body, team_draft, wait_until};
use queue::{BudgetSettings, Reason};
use scheduler::sync::{self, PageCache};
use serde_json::{Value, json};
use store::TeamDraft;

const JIT: &str = "generate-jitconfig";
const FIRST_ID: u64 = 5_151_515;
const HOUR: Duration = Duration::from_hours(1);

fn first() -> InstallationId {
    InstallationId::default()
}

fn second() -> InstallationId {
    "second".parse().unwrap()
}

fn second_id() -> u64 {
    Builder::further_app_id(1)
}

/// The organisation has the Apps `default` and `second`.
struct Scene {
    world: World,
    ada: Person,
    root: Person,
}

impl Scene {
    async fn start(builder: Builder) -> Self {
        let world = builder.further_app("second").start().await;
        let red = world.team(team_draft("red")).await;
        Self { ada: world.user("ada", &[&red]).await, root: world.admin().await, world }
    }

    async fn ask(&self) -> Accepted {
        self.world.provision(&self.ada, provision_body("ci")).await
    }

    async fn until_made(&self, asked: &Accepted) -> Value {
        let job = self.world.until_final(&self.ada, asked.job).await;
        assert_eq!(job["state"], "succeeded", "{job}");
        let path = format!("/runners/{}", asked.runner);
        self.world.get(&path, &self.ada).await.assert_status(200).body
    }

    async fn make(&self, number: usize) -> Vec<Value> {
        let mut asked = Vec::new();
        for _ in 0..number {
            asked.push(self.ask().await);
        }
        let mut made = Vec::new();
        for one in &asked {
            made.push(self.until_made(one).await);
        }
        made
    }

    async fn pause(&self, app: &InstallationId) {
        self.world.queue().pause(app, HOUR, Reason::Budget).await.unwrap();
    }

    async fn resume(&self, app: &InstallationId) {
        self.world.queue().resume(app, Reason::Budget).await.unwrap();
    }

    /// Starts a process that knows both Apps, and waits until the queue knows them as one pool.
    async fn know_the_pool(&self) -> scheduler::Parts {
        let parts = self.world.scheduler_parts();
        wait_until("the pool is known", async || {
            let budgets = self.world.queue().budget().await.unwrap();
            budgets.iter().any(|one| one.installation == second() && one.pool == first())
        })
        .await;
        parts
    }

    async fn code(&self) -> Value {
        self.world.get("/admin/verdict", &self.root).await.assert_status(200).body
    }
}

/// Returns the accepted requests of one kind by GitHub's id of the installation.
fn by_app(ledger: &Ledger, method: &str, part: &str) -> BTreeMap<u64, usize> {
    let mut sums = BTreeMap::new();
    for entry in ledger.of(method, part).filter(|entry| entry.status < 300) {
        *sums.entry(entry.installation.unwrap_or_default()).or_default() += 1;
    }
    sums
}

fn made_by(runners: &[Value], app: &InstallationId) -> usize {
    runners.iter().filter(|runner| runner["app_installation"] == app.as_str()).count()
}

#[tokio::test]
async fn apps_share_the_jobs_and_runners_remember_theirs() {
    let scene = Scene::start(World::builder().workers(2)).await;
    let made = scene.make(24).await;
    let used = by_app(&scene.world.twin.ledger(), "POST", JIT);
    assert!(used[&FIRST_ID] >= 8 && used[&second_id()] >= 8, "about the same headroom: {used:?}");
    assert_eq!((made_by(&made, &first()), made_by(&made, &second())), (used[&FIRST_ID], used[&second_id()]));
    assert!(scene.world.twin.summary().violations.is_empty());

    let budget = scene.world.get("/admin/budget", &scene.root).await.assert_status(200).body;
    let pools: Vec<_> = budget["budgets"].as_array().unwrap().iter().map(|one| &one["pool"]).collect();
    assert_eq!(pools, ["default", "default"], "{budget}");
    let sum = &budget["pools"][0];
    assert_eq!(sum["installations"], json!(["default", "second"]));
    assert_eq!((&sum["usable"], &sum["running"]), (&json!(2), &json!(0)), "{sum}");
    assert_eq!(sum["registrations_limit"], budget["budgets"][0]["registrations_limit"], "{budget}");
    assert_eq!(budget["budgets"][1]["registrations_limit"], Value::Null, "one limit for the organisation");
    let each: u64 = budget["budgets"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|one| one["windows"].as_array().unwrap())
        .filter(|window| window["resource"] == "core")
        .map(|window| window["remaining"].as_u64().unwrap())
        .sum();
    let core = sum["windows"].as_array().unwrap().iter().find(|window| window["resource"] == "core");
    assert_eq!(core.unwrap()["remaining"], each, "{sum}");
}

#[tokio::test]
async fn suspended_app_costs_only_its_share() {
    let scene = Scene::start(World::builder().workers(1)).await;
    scene.world.twin.control().suspend(second_id(), true).unwrap();
    let made = scene.make(12).await;
    assert_eq!(made_by(&made, &first()), 12, "nothing is lost, and the other App does it");
    let told = scene.code().await;
    assert_eq!((&told["code"], &told["level"]), (&json!("app_unusable"), &json!("note")), "{told}");
    let refused = scene.world.twin.ledger();
    let refused = refused.entries.iter().filter(|entry| entry.status == 403).count();
    assert!((1..=8).contains(&refused), "the pause stops further requests: {refused}");

    scene.world.twin.control().suspend(second_id(), false).unwrap();
    assert_eq!(scheduler::suspension::run(scene.world.scheduler_parts()).await.unwrap(), 1);
    scene.pause(&first()).await;
    assert_eq!(made_by(&scene.make(3).await, &second()), 3, "it works again");
}

#[tokio::test]
async fn app_without_permission_costs_only_its_share() {
    let scene = Scene::start(World::builder().workers(1)).await;
    let permission = "organization_self_hosted_runners";
    scene.world.twin.control().permit(second_id(), permission, None).unwrap();
    let made = scene.make(12).await;
    assert_eq!(made_by(&made, &first()), 12);
    let pauses = scene.world.queue().pauses().await.unwrap();
    assert!(pauses.iter().any(|paused| paused.pause.reason == Reason::Refused), "{pauses:?}");
    assert_eq!(scene.code().await["code"], "app_unusable");
}

#[tokio::test]
async fn runner_of_one_app_is_removed_through_another() {
    let scene = Scene::start(World::builder().workers(1)).await;
    scene.pause(&first()).await;
    let asked = scene.ask().await;
    assert_eq!(scene.until_made(&asked).await["app_installation"], "second");
    scene.pause(&second()).await;
    scene.resume(&first()).await;
    let path = format!("/runners/{}", asked.runner);
    let gone = scene.world.delete(&path, &scene.ada).await.assert_status(202);
    let job = gone.body["job_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(scene.world.until_final(&scene.ada, job).await["state"], "succeeded");
    let used = by_app(&scene.world.twin.ledger(), "DELETE", "runners");
    assert_eq!(used, BTreeMap::from([(FIRST_ID, 1)]));
    assert!(scene.world.twin.runners().is_empty());
}

#[tokio::test]
async fn list_of_the_organization_is_read_once_through_any_app() {
    let scene = Scene::start(World::builder().workers(1)).await;
    let made = scene.make(4).await;
    let parts = scene.world.scheduler_parts();
    assert_eq!(parts.installations.pools().collect::<Vec<_>>(), [&first()], "one sync run for all Apps");
    let list = |scene: &Scene| by_app(&scene.world.twin.ledger(), "GET", "/actions/runners");
    let ran = sync::run(&parts, &first(), &mut PageCache::default()).await.unwrap();
    assert_eq!((ran.result, list(&scene)), ("ok", BTreeMap::from([(FIRST_ID, 1)])));
    scene.pause(&first()).await;
    let ran = sync::run(&parts, &first(), &mut PageCache::default()).await.unwrap();
    assert_eq!((ran.result, list(&scene)[&second_id()]), ("ok", 1));
    assert_eq!(made.len(), scene.world.twin.runners().len(), "no runner is unmanaged or removed");
    assert_eq!(scene.world.count("SELECT count(*) FROM unmanaged_runners").await, 0);
    scene.pause(&second()).await;
    let ran = sync::run(&parts, &first(), &mut PageCache::default()).await.unwrap();
    assert_eq!(ran.result, "paused");
}

#[tokio::test]
async fn worker_killed_before_the_record_and_its_app_suspended_leave_one_runner() {
    let scene = Scene::start(World::builder().workers(0)).await;
    let asked = scene.ask().await;
    scene.pause(&first()).await;
    scene.world.twin.fault(Fault::once("POST", JIT, FaultKind::Latency { ms: 700 }));
    let doomed = scene.world.start_worker();
    scene.world.fault_consumed().await;
    doomed.kill().await;
    wait_until("GitHub made the runner", async || scene.world.twin.runners().len() == 1).await;
    scene.world.twin.control().suspend(second_id(), true).unwrap();
    scene.resume(&first()).await;
    scene.world.expire_leases(Lane::Provision).await;
    scene.world.keep_running(scene.world.start_worker());
    let runner = scene.until_made(&asked).await;
    assert_eq!(runner["app_installation"], "default");
    assert_eq!(scene.world.twin.runners().len(), 2, "one of them is an orphan");

    let due = "UPDATE github_calls SET next_reap_at = now() WHERE next_reap_at IS NOT NULL";
    sqlx::query(due).execute(scene.world.sql()).await.unwrap();
    scheduler::reap::run(scene.world.scheduler_parts()).await.unwrap();
    wait_until("the orphan is removed", async || scene.world.twin.runners().len() == 1).await;
    assert_eq!(scene.world.twin.runners()[0].name, runner["runner_name"].as_str().unwrap());
    let removed = by_app(&scene.world.twin.ledger(), "DELETE", "runners");
    assert_eq!(removed, BTreeMap::from([(FIRST_ID, 1)]));
    let calls =
        "SELECT count(*) FROM github_calls WHERE state = 'delivered' AND app_installation = 'default'";
    assert_eq!(scene.world.count(calls).await, 1);
    let lost = "SELECT count(*) FROM github_calls WHERE state <> 'delivered' AND app_installation = 'second'";
    assert_eq!(scene.world.count(lost).await, 1);
}

#[tokio::test]
async fn event_that_both_apps_deliver_counts_once() {
    let scene = Scene::start(World::builder().workers(1).webhooks("a webhook secret of the tests")).await;
    let asked = scene.ask().await;
    let name = scene.until_made(&asked).await["runner_name"].as_str().unwrap().to_owned();
    let control = scene.world.twin.control();
    let runner = scene.world.twin.runner(&name).unwrap().id;
    scene.world.twin.set_runner(runner, github_twin::RunnerChange::online()).unwrap();
    let job = control.queue_job("acme/web", &[]).unwrap();
    control.start_job(job.id, runner).unwrap();
    scene.world.twin.webhooks_sent().await;
    scheduler::inbox::run(scene.world.scheduler_parts()).await.unwrap();
    let received = "SELECT count(*) FROM webhook_inbox WHERE action = 'in_progress'";
    assert_eq!(scene.world.count(received).await, 2, "one for each App");
    let seen = "SELECT count(*) FROM runner_events WHERE to_status = 'active'";
    assert_eq!(scene.world.count(seen).await, 1);
}

#[tokio::test]
async fn worker_without_the_credential_of_one_app_uses_another() {
    let scene = Scene::start(World::builder().workers(0)).await;
    let worker = scene.world.start_worker_for(|id| id == "default");
    scene.make(1).await;
    let _later = scene.know_the_pool().await;
    // The claim prefers an App of which no answer is known, which this worker cannot use.
    for made in scene.make(3).await {
        assert_eq!(made["app_installation"], "default");
    }
    worker.stop().await;
}

#[tokio::test]
async fn job_whose_app_a_worker_lacks_is_soon_left_to_another_worker() {
    let scene = Scene::start(World::builder().workers(0)).await;
    let worker = scene.world.start_worker_for(|id| id == "default");
    scene.make(1).await;
    let _later = scene.know_the_pool().await;
    scene.pause(&first()).await;
    let asked = scene.ask().await;
    // Its own App waits for an hour, but the App that the claim chose does not.
    let left = "SELECT count(*) FROM jobs WHERE state = 'queued' AND blocked_on = 'worker' AND snoozes > 0
        AND run_at < now() + interval '1 minute'";
    wait_until("the job is left to another worker", async || scene.world.count(left).await == 1).await;
    worker.stop().await;
    scene.world.keep_running(scene.world.start_worker());
    assert_eq!(scene.until_made(&asked).await["app_installation"], "second");
    let path = format!("/jobs/{}", asked.job);
    let job = scene.world.get(&path, &scene.root).await.assert_status(200).body;
    let calls: Vec<_> =
        job["calls"].as_array().unwrap().iter().map(|call| &call["app_installation"]).collect();
    assert_eq!((calls, &job["attempts"]), (vec![&json!("second")], &json!(1)), "{job}");
    assert!(scene.world.twin.summary().violations.is_empty());
}

#[tokio::test]
async fn worker_that_knows_only_the_paused_app_does_not_stop_the_pool() {
    let scene = Scene::start(World::builder().workers(1)).await;
    scene.make(1).await;
    scene.pause(&first()).await;
    let _poor = scene.world.start_worker_for(|id| id == "default");
    // What that worker writes when it starts, whenever it has done so.
    scene.world.queue().set_budget(&first(), &BudgetSettings::default()).await.unwrap();
    assert_eq!(made_by(&scene.make(4).await, &second()), 4);
    assert!(scene.world.twin.summary().violations.is_empty());
}

#[tokio::test]
async fn job_refused_for_the_only_app_a_worker_knows_is_left_to_another_worker() {
    let scene = Scene::start(World::builder().workers(0)).await;
    let poor = scene.world.start_worker_for(|id| id == "default");
    scene.make(1).await;
    let _later = scene.know_the_pool().await;
    let permission = "organization_self_hosted_runners";
    scene.world.twin.control().permit(FIRST_ID, permission, None).unwrap();
    let asked = scene.ask().await;
    wait_until("the App that GitHub refuses is paused", async || {
        let pauses = scene.world.queue().pauses().await.unwrap();
        pauses.iter().any(|paused| paused.pause.reason == Reason::Refused)
    })
    .await;
    // It would claim the job again and again, and leave it each time.
    poor.stop().await;
    scene.world.make_due(Lane::Provision).await;
    scene.world.keep_running(scene.world.start_worker());
    assert_eq!(scene.until_made(&asked).await["app_installation"], "second");
}

#[tokio::test]
async fn eighty_installations_start_and_work() {
    let org = |n: u64| format!("org-{n}");
    let more_installations = (1..80).map(|n| (7_000_000 + n, org(n))).collect();
    let mut builder = World::builder().twin(TwinConfig { more_installations, ..TwinConfig::default() });
    for n in 1..80 {
        builder = builder.installation(ExtraInstallation::org(&format!("i-{n}"), &org(n)));
    }
    let world = builder.workers(1).scheduler().start().await;
    for n in [1_u64, 40, 79] {
        let installation = format!("i-{n}").parse().unwrap();
        let team = world.team(TeamDraft { installation, ..team_draft(&format!("team-{n}")) }).await;
        let person = world.user(&format!("user-{n}"), &[&team]).await;
        let asked = world.provision(&person, provision_body("ci")).await;
        let job = world.until_final(&person, asked.job).await;
        let runner = world.twin.runner(job["runner_name"].as_str().unwrap()).unwrap();
        assert_eq!(runner.scope, format!("orgs/org-{n}"));
    }
    let synced = "SELECT count(*) FROM sync_status WHERE last_sync_result = 'ok'";
    wait_until("all are compared", async || world.count(synced).await == 80).await;
}
