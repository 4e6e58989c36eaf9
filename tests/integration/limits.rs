//! GitHub's rate limits: no request during a pause, no counted attempt, and a reason for waiting callers.

use std::{convert::Infallible, future::pending, time::Duration};

use domain::{InstallationId, JobId, Lane};
use github::{GitHubError, JitConfigRequest};
use github_twin::{Bucket, Fault, FaultKind, Limits};
use harness::{Accepted, Person, World, provision_body, team_draft, wait_until};
use installations::{ClaimedJob, Installations};
use queue::{Pause, PrepaidRequest, Reason};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

struct Scene {
    world: World,
    ada: Person,
}

async fn scene(limits: Limits) -> Scene {
    let world = World::builder().workers(2).limits(limits).start().await;
    let red = world.team(team_draft("red")).await;
    Scene { ada: world.user("ada", &[&red]).await, world }
}

impl Scene {
    async fn asked(&self) -> Accepted {
        self.world.provision(&self.ada, provision_body("ci")).await
    }

    fn fault(&self, kind: FaultKind) {
        self.world.twin.fault(Fault::once("POST", "generate-jitconfig", kind));
    }

    async fn paused(&self, reason: Reason) -> Pause {
        harness::eventually("the installation is paused", || async {
            let pauses = self.world.queue().pauses().await.unwrap();
            pauses.into_iter().map(|paused| paused.pause).find(|pause| pause.reason == reason)
        })
        .await
    }

    /// Ends the wait that GitHub demanded, on both sides.
    async fn time_passes(&self, span: Duration, reason: Reason) {
        self.world.twin.advance(span);
        self.world.redis().open_windows().await;
        self.world.queue().resume(&InstallationId::default(), reason).await.unwrap();
        self.world.queue().wake_one().await.unwrap();
    }

    async fn waits_for_budget(&self, job: Uuid) {
        wait_until("the job is queued again", || async {
            self.world.job(&self.ada, job).await["state"] == "queued"
        })
        .await;
        let answer = self.world.get(&format!("/jobs/{job}"), &self.ada).await.assert_status(200);
        assert_eq!(answer.body["blocked_on"], "budget", "{}", answer.text);
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!(wait > 30, "{wait}");
    }

    async fn done(&self, job: Uuid) {
        let job = self.world.until_final(&self.ada, job).await;
        assert_eq!((&job["state"], &job["attempts"]), (&json!("succeeded"), &json!(1)), "{job}");
    }

    fn requests(&self) -> u64 {
        self.world.twin.summary().requests
    }

    fn well_behaved(&self) {
        let violations = self.world.twin.ledger().violations;
        assert!(violations.is_empty(), "{violations:?}");
    }
}

#[tokio::test]
async fn secondary_limit_stops_all_workers_for_its_duration() {
    for (status, retry_after) in [(429, Some(120)), (403, Some(120)), (403, None)] {
        let scene = scene(Limits::github()).await;
        scene.fault(FaultKind::SecondaryLimit { status, retry_after });
        let first = scene.asked().await;
        let pause = scene.paused(Reason::SecondaryLimit).await;
        let told = Duration::from_secs(retry_after.unwrap_or(60));
        assert!(pause.left <= told && pause.left + Duration::from_mins(1) > told, "{pause:?}");
        scene.waits_for_budget(first.job).await;

        let before = scene.requests();
        let others = [scene.asked().await, scene.asked().await, scene.asked().await];
        for other in &others {
            scene.waits_for_budget(other.job).await;
        }
        assert_eq!(scene.requests(), before, "no request during the pause");
        scene.time_passes(told + Duration::from_secs(1), Reason::SecondaryLimit).await;
        for asked in std::iter::once(&first).chain(&others) {
            scene.done(asked.job).await;
        }
        scene.well_behaved();
        let refused = "SELECT count(*) FROM github_calls WHERE state = 'refused'";
        assert_eq!(scene.world.count(refused).await, 1, "a rate limit proves that nothing happened");
    }
}

#[tokio::test]
async fn exhausted_window_stops_all_workers_until_it_opens() {
    let scene = scene(Limits::github()).await;
    scene.fault(FaultKind::PrimaryLimit { status: 403, reset_in: Some(600) });
    let asked = scene.asked().await;
    let pause = scene.paused(Reason::Budget).await;
    assert!(pause.left <= Duration::from_secs(602) && pause.left > Duration::from_mins(5), "{pause:?}");
    scene.waits_for_budget(asked.job).await;
    scene.time_passes(Duration::from_secs(602), Reason::Budget).await;
    scene.done(asked.job).await;
    scene.well_behaved();
}

#[tokio::test]
async fn headers_of_successful_responses_prevent_an_exceeded_window() {
    let scene = scene(Limits { primary: Some(Bucket::new(4, 600)), ..Limits::github() }).await;
    for _ in 0..3 {
        let asked = scene.asked().await;
        scene.done(asked.job).await;
    }
    // A tenth of a window, here its last request, is reserved for removals.
    let before = scene.requests();
    let fourth = scene.asked().await;
    scene.waits_for_budget(fourth.job).await;
    assert_eq!(scene.requests(), before);
    scene.time_passes(Duration::from_secs(602), Reason::Budget).await;
    scene.done(fourth.job).await;
    scene.well_behaved();
}

#[tokio::test]
async fn reserve_pays_for_a_removal() {
    let scene = scene(Limits { primary: Some(Bucket::new(12, 600)), ..Limits::github() }).await;
    let first = scene.asked().await;
    scene.done(first.job).await;
    for _ in 1..10 {
        let asked = scene.asked().await;
        scene.done(asked.job).await;
    }
    let last = scene.asked().await;
    scene.waits_for_budget(last.job).await;
    let path = format!("/runners/{}", first.runner);
    scene.world.delete(&path, &scene.ada).await.assert_status(202);
    wait_until("a lookup and a removal with the last two requests", || async {
        scene.world.get(&path, &scene.ada).await.body["status"] == "deleted"
    })
    .await;
    scene.well_behaved();
}

#[tokio::test]
async fn rate_limit_is_published_without_the_database() {
    let scene = scene(Limits::github()).await;
    let broken = "ALTER TABLE github_calls ADD CONSTRAINT broken CHECK (state <> 'refused')";
    sqlx::query(broken).execute(scene.world.sql()).await.unwrap();
    scene.fault(FaultKind::SecondaryLimit { status: 429, retry_after: Some(120) });
    scene.asked().await;
    scene.paused(Reason::SecondaryLimit).await;
    scene.well_behaved();
}

/// Returns the clients of a process and a claimed job.
fn clients(world: &World) -> (Installations, ClaimedJob) {
    let installations = world.scheduler_parts().installations;
    (installations, ClaimedJob { job: JobId::new(), lane: Lane::Provision, since: Instant::now() })
}

/// Sends the prepaid request of a claimed job.
async fn register(installations: &Installations, job: ClaimedJob, name: &str) -> Result<i64, GitHubError> {
    let request = JitConfigRequest {
        name: name.into(),
        runner_group_id: 1,
        labels: vec!["self-hosted".into()],
        work_folder: "_work".into(),
    };
    let id = InstallationId::default();
    let client = installations.client_for_job(&id, &id, job, PrepaidRequest::default()).await.unwrap();
    client.github.create_jit_config(&request).await.map(|config| config.runner.id)
}

#[tokio::test]
async fn unpublished_limit_is_kept_until_redis_accepts_it() {
    let world = World::builder().workers(0).start().await;
    let (installations, job) = clients(&world);
    world.redis().refuse_pauses(true).await;
    let limit = FaultKind::SecondaryLimit { status: 429, retry_after: Some(120) };
    world.twin.fault(Fault::once("POST", "generate-jitconfig", limit));
    let told = register(&installations, job, "one").await.unwrap_err();
    assert!(matches!(told, GitHubError::Limited { .. }), "{told:?}");
    let again = ClaimedJob { since: Instant::now(), ..job };
    let refused = register(&installations, again, "two").await.unwrap_err();
    assert!(
        matches!(refused, GitHubError::Held { .. }),
        "the process applies the unpublished limit: {refused:?}"
    );
    assert!(!world.redis().dump().await.contains("w:core"), "the window is not published before the limit");

    world.redis().refuse_pauses(false).await;
    wait_until("the installation is paused", || async {
        let pauses = world.queue().pauses().await.unwrap();
        pauses.iter().any(|paused| paused.pause.reason == Reason::SecondaryLimit)
    })
    .await;
    wait_until("then the window is learned", || async { world.redis().dump().await.contains("w:core") })
        .await;
    assert!(world.twin.ledger().violations.is_empty());
}

#[tokio::test]
async fn jobs_claimed_before_a_rate_limit_obey_it() {
    let world = World::builder().workers(0).start().await;
    let (installations, job) = clients(&world);
    world.queue().slow_down(&InstallationId::default(), Duration::from_mins(1)).await.unwrap();
    let refused = register(&installations, job, "one").await.unwrap_err();
    assert!(matches!(refused, GitHubError::Held { .. }), "a token would have to be minted: {refused:?}");
    assert_eq!(world.twin.summary().requests, 0);

    world.queue().resume(&InstallationId::default(), Reason::SecondaryLimit).await.unwrap();
    installations.get(&InstallationId::default()).unwrap().rate_limit().await.unwrap();
    world.queue().slow_down(&InstallationId::default(), Duration::from_mins(1)).await.unwrap();
    let before = world.twin.summary().requests;
    for ago in [Duration::from_secs(3), Duration::ZERO] {
        let claimed = ClaimedJob { since: Instant::now() - ago, ..job };
        let refused = register(&installations, claimed, "two").await.unwrap_err();
        assert!(matches!(refused, GitHubError::Held { .. }), "claimed {ago:?} ago: {refused:?}");
    }
    assert_eq!(world.twin.summary().requests, before);
}

#[tokio::test]
async fn short_rate_limit_counts_one_snooze() {
    let scene = scene(Limits::github()).await;
    scene.fault(FaultKind::SecondaryLimit { status: 429, retry_after: Some(1) });
    let asked = scene.asked().await;
    scene.done(asked.job).await;
    let snoozes: i32 =
        sqlx::query_scalar("SELECT snoozes FROM jobs").fetch_one(scene.world.sql()).await.unwrap();
    assert_eq!(snoozes, 1);
    scene.well_behaved();
}

#[tokio::test]
async fn jobs_of_a_paused_lane_wait_and_report_the_pause() {
    let scene = scene(Limits::github()).await;
    let shortly = Duration::from_mins(10);
    scene.world.queue().pause_lane(domain::Lane::Provision, shortly).await.unwrap();
    let asked = scene.asked().await;
    assert_eq!(scene.world.job(&scene.ada, asked.job).await["blocked_on"], "paused");
    scene.world.queue().resume_lane(domain::Lane::Provision).await.unwrap();
    scene.done(asked.job).await;
}

#[tokio::test]
async fn unreachable_github_counts_no_attempt() {
    let scene = scene(Limits::github()).await;
    scene.world.twin.fault(Fault::new(FaultKind::Drop).on("POST", "generate-jitconfig"));
    let asked = scene.asked().await;
    wait_until("the job says why it waits", || async {
        scene.world.job(&scene.ada, asked.job).await["blocked_on"] == "github_outage"
    })
    .await;
    scene.world.twin.clear_faults();
    scene.world.queue().resume(&InstallationId::default(), Reason::GithubOutage).await.unwrap();
    scene.world.make_due(domain::Lane::Provision).await;
    scene.done(asked.job).await;
}

/// Runners at which one member looks without end.
const LOOKED_AT: usize = 10;
/// Runners another team asks for meanwhile.
const PROVISIONS: usize = 20;

/// Asks for a look at each runner, round after round. Between rounds time passes, so that no look answers twice.
async fn refresh_without_end(world: &World, ada: &Person, runners: &[Uuid]) -> Infallible {
    loop {
        for runner in runners {
            world.ask("POST", &format!("/runners/{runner}/refresh")).by(ada).send().await;
        }
        let later =
            "UPDATE jobs SET finished_at = finished_at - interval '1 minute' WHERE kind = 'drift_check'";
        sqlx::query(later).execute(world.sql()).await.unwrap();
    }
}

/// Returns the number of claims until all runners of another team are out. A claim pays for one request to GitHub, so
/// these are the requests until the last of its registrations.
async fn claims_until_provisioned(is_attacked: bool) -> usize {
    // Of a window that lasts a day nothing is lent while the story lasts.
    let primary = Some(Bucket::new(200, 86_400));
    let limits = Limits { primary, points: None, registrations: None, ..Limits::github() };
    let world = World::builder().workers(2).limits(limits).fetch_rate_limits_first().start().await;
    let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&blue]).await);
    let budget = async || world.queue().budget().await.unwrap().into_iter().next();
    wait_until("the window is learned", || async { budget().await.is_some_and(|b| !b.resources.is_empty()) })
        .await;
    let mut runners = Vec::new();
    for _ in 0..LOOKED_AT {
        let asked = world.provision(&ada, provision_body("red")).await;
        assert_eq!(world.until_final(&ada, asked.job).await["state"], "succeeded");
        runners.push(asked.runner);
    }
    let attack = async {
        if is_attacked { refresh_without_end(&world, &ada, &runners).await } else { pending().await }
    };
    let provisions = async {
        if is_attacked {
            wait_until("red's checks wait for its account and none is in flight", || async {
                world.redis().dump().await.contains("capped:default = ")
                    && budget().await.unwrap().running == 0
            })
            .await;
        }
        let before = world.twin.summary().requests;
        let mut asked = Vec::new();
        for _ in 0..PROVISIONS {
            asked.push(world.provision(&bob, provision_body("blue")).await);
        }
        for one in &asked {
            assert_eq!(world.until_final(&bob, one.job).await["state"], "succeeded");
        }
        let ledger = world.twin.ledger();
        assert!(ledger.violations.is_empty(), "{:?}", ledger.violations);
        let last = ledger.of("POST", "generate-jitconfig").last().unwrap().seq;
        let until_out = ledger.entries.iter().filter(|entry| entry.seq > before && entry.seq <= last);
        until_out.filter(|entry| !entry.template.ends_with("access_tokens")).count()
    };
    tokio::select! { claims = provisions => claims, never = attack => match never {} }
}

#[tokio::test]
async fn looping_refreshes_delay_no_provision_of_another_team() {
    let alone = claims_until_provisioned(false).await;
    let beside = claims_until_provisioned(true).await;
    assert!(beside * 10 <= alone * 11, "{beside} claims beside the attack, {alone} without");
}
