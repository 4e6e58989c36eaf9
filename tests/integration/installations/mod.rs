//! Several GitHub installations in one deployment, each with its own runners, budget and failures.
#![cfg(test)]

mod hooks;
mod servers;
mod teams;

use domain::InstallationId;
use github_twin::{Fault, FaultKind, TwinConfig};
use harness::{Accepted, Builder, ExtraInstallation, Person, World, provision_body, team_draft, wait_until};
use scheduler::sync::{self, PageCache};
use serde_json::{Value, json};
use store::TeamDraft;
use uuid::Uuid;

const SECOND: &str = "second";
const FIRST_ID: u64 = 5_151_515;
const SECOND_ID: u64 = 6_161_616;
const JIT: &str = "generate-jitconfig";
const COMMON: &str = "the common secret of the tests";

fn second() -> InstallationId {
    SECOND.parse().unwrap()
}

/// Returns a world with the organisations acme and globex.
fn builder() -> Builder {
    let more_installations = vec![(SECOND_ID, "globex".to_owned())];
    let twin = TwinConfig { more_installations, ..TwinConfig::default() };
    World::builder().twin(twin).installation(ExtraInstallation::org(SECOND, "globex"))
}

/// Ada's team belongs to acme, Bob's to globex.
struct Scene {
    world: World,
    ada: Person,
    bob: Person,
    root: Person,
}

impl Scene {
    async fn start(builder: Builder) -> Self {
        let world = builder.start().await;
        let red = world.team(team_draft("red")).await;
        let blue = world.team(TeamDraft { installation: second(), ..team_draft("blue") }).await;
        let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&blue]).await);
        Self { root: world.admin().await, ada, bob, world }
    }

    /// Provisions a runner and returns the organisation that has it.
    async fn runner(&self, who: &Person) -> (Accepted, String) {
        let asked = self.world.provision(who, provision_body("ci")).await;
        let done = self.world.until_final(who, asked.job).await;
        assert_eq!(done["state"], "succeeded", "{done}");
        let scope = self.world.twin.runner(done["runner_name"].as_str().unwrap()).unwrap().scope;
        (asked, scope)
    }

    /// Returns the budget of an installation as admins see it.
    async fn budget(&self, installation: &str) -> Value {
        let all =
            self.world.get("/admin/budget", &self.root).await.assert_status(200).body["budgets"].clone();
        let found = all.as_array().unwrap().iter().find(|one| one["installation"] == installation);
        found.cloned().unwrap_or_default()
    }

    async fn waits_for(&self, who: &Person, job: Uuid, why: &str) {
        wait_until("the job waits", || async {
            let job = self.world.job(who, job).await;
            job["state"] == "queued" && job["blocked_on"] == why
        })
        .await;
    }
}

#[tokio::test]
async fn team_gets_runners_of_its_installation() {
    let scene = Scene::start(builder()).await;
    let world = &scene.world;
    assert_eq!(scene.runner(&scene.ada).await.1, "orgs/acme");
    let (asked, place) = scene.runner(&scene.bob).await;
    assert_eq!(place, "orgs/globex");

    for installation in [InstallationId::default(), second()] {
        let passed =
            sync::run(&world.scheduler_parts(), &installation, &mut PageCache::default()).await.unwrap();
        assert_eq!((passed.result, passed.listed), ("ok", 1), "{installation}");
    }
    let status = world.get("/admin/sync/status", &scene.root).await.assert_status(200).body;
    let names: Vec<_> =
        status["installations"].as_array().unwrap().iter().map(|one| one["installation"].clone()).collect();
    assert_eq!(names, ["default", SECOND]);
    assert_eq!(scene.budget(SECOND).await["registrations_used"], 1);

    let path = format!("/runners/{}", asked.runner);
    world.ask("DELETE", &path).by(&scene.bob).header("prefer", "wait=20").send().await.assert_status(200);
    let ledger = world.twin.ledger();
    let by =
        |part, method| ledger.of(method, part).filter_map(|entry| entry.installation).collect::<Vec<_>>();
    assert_eq!(by(JIT, "POST"), [FIRST_ID, SECOND_ID]);
    assert_eq!(by("{runner_id}", "DELETE"), [SECOND_ID]);
    assert!(ledger.violations.is_empty(), "{:?}", ledger.violations);
}

#[tokio::test]
async fn installation_without_budget_delays_no_other() {
    let scene = Scene::start(builder()).await;
    let world = &scene.world;
    world.twin.fault(Fault::once("POST", JIT, FaultKind::PrimaryLimit { status: 403, reset_in: Some(1800) }));
    let stuck = world.provision(&scene.bob, provision_body("ci")).await;
    scene.waits_for(&scene.bob, stuck.job, "budget").await;
    assert_eq!(scene.runner(&scene.ada).await.1, "orgs/acme");

    let (first, second) = (scene.budget("default").await, scene.budget(SECOND).await);
    assert_eq!(first["pauses"], json!([]), "{first}");
    assert_eq!(second["pauses"][0]["installation"], SECOND, "{second}");
    let left = |budget: &Value| budget["windows"][0]["remaining"].as_u64().unwrap();
    assert!(left(&first) > 4000 && left(&second) == 0, "{first} {second}");
    assert_eq!(world.job(&scene.bob, stuck.job).await["state"], "queued");
    assert!(world.twin.ledger().violations.is_empty());
}

#[tokio::test]
async fn outage_of_one_installation_opens_only_its_breaker() {
    let scene = Scene::start(builder()).await;
    let world = &scene.world;
    let outage = world.twin.fault(Fault::new(FaultKind::Status { status: 503 }).on("POST", JIT));
    let mut asked = Vec::new();
    for _ in 0..12 {
        asked.push(world.provision(&scene.bob, provision_body("ci")).await);
    }
    wait_until("the breaker opens", || async { scene.budget(SECOND).await["breaker"] == "open" }).await;
    world.twin.clear_fault(outage);
    assert_eq!(scene.runner(&scene.ada).await.1, "orgs/acme");
    assert_eq!(scene.budget("default").await["breaker"], "closed");
}

#[tokio::test]
async fn suspended_installation_delays_no_other() {
    let scene = Scene::start(builder().webhooks(COMMON)).await;
    let world = &scene.world;
    world.twin.control().suspend(SECOND_ID, true).unwrap();
    world.twin.webhooks_sent().await;
    scheduler::inbox::run(world.scheduler_parts()).await.unwrap();
    let stuck = world.provision(&scene.bob, provision_body("ci")).await;
    assert_eq!(scene.runner(&scene.ada).await.1, "orgs/acme");
    assert_eq!(world.job(&scene.bob, stuck.job).await["state"], "queued");
    assert_eq!(scheduler::suspension::run(world.scheduler_parts()).await.unwrap(), 0);

    world.twin.control().suspend(SECOND_ID, false).unwrap();
    assert_eq!(scheduler::suspension::run(world.scheduler_parts()).await.unwrap(), 1);
    assert_eq!(world.until_final(&scene.bob, stuck.job).await["state"], "succeeded");
}

#[tokio::test]
async fn worker_without_the_credential_leaves_the_job_to_another() {
    let scene = Scene::start(builder().workers(0)).await;
    let world = &scene.world;
    let poor = world.start_worker_for(|id| id == "default");
    let asked = world.provision(&scene.bob, provision_body("ci")).await;
    scene.waits_for(&scene.bob, asked.job, "worker").await;
    assert_eq!(scene.runner(&scene.ada).await.1, "orgs/acme");
    poor.stop().await;
    world.keep_running(world.start_worker());
    world.make_due(domain::Lane::Provision).await;
    let done = world.until_final(&scene.bob, asked.job).await;
    assert_eq!((&done["state"], &done["attempts"]), (&json!("succeeded"), &json!(1)), "{done}");
}

#[tokio::test]
async fn only_a_complete_sync_counts_as_a_success() {
    let more = ExtraInstallation::enterprise("unheard", "initech", "ghp_a-token-nobody-knows");
    let world = World::builder().workers(0).installation(more).scheduler().start().await;
    let root = world.admin().await;
    let results = || async {
        let status = world.get("/admin/sync/status", &root).await.assert_status(200).body;
        let all = status["installations"].as_array().unwrap().clone();
        all.iter().map(|one| one["last_sync_result"].clone()).collect::<Vec<_>>()
    };
    wait_until("both had a sync run", || async { results().await == [json!("ok"), json!("failed")] }).await;
    let said = |installation: &str| {
        let world = &world;
        let labels = [format!("installation=\"{installation}\""), "step=\"snapshot\"".to_owned()];
        async move {
            let text = world.request("GET", "/metrics").send().await.text;
            text.lines().any(|line| {
                line.starts_with("rts_scheduler_last_success_seconds")
                    && labels.iter().all(|l| line.contains(l))
            })
        }
    };
    wait_until("the job of the other installation succeeds", || said("default")).await;
    assert!(!said("unheard").await);
}
