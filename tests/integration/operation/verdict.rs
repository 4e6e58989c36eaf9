//! State of the service in one sentence, each condition produced for real.

use std::time::Duration;

use devstack::Server;
use domain::{InstallationId, JobId, Lane, TeamId, VerdictCode};
use github_twin::{Fault, FaultKind};
use harness::{ExtraInstallation, World, eventually, provision_body, team_draft};
use queue::{Availability, BudgetSettings, Observation, Reason, Ticket};
use serde_json::{Value, json};
use store::TeamDraft;

use super::Scene;

/// For each code: the page behind the dashboard's sentence, and what that page says about the cause.
const PAGES: [(&str, &str, &str); 17] = [
    ("queue_away", "/workers", "Redis does not answer"),
    ("installation_suspended", "/security?event_type=installation_suspended", "installation_suspended"),
    ("operator_needed", "/failures", "Not Found, or not yours"),
    ("github_outage", "/budget#breaker", "Circuit breaker"),
    ("paused", "/lanes", "rolling out 2.4"),
    ("secondary_limit", "/budget", "secondary limit"),
    ("window_empty", "/budget#window", "0 of 5,000 requests left"),
    ("no_worker", "/workers", "No worker is running."),
    ("no_credential", "/workers?without=games", "have no credential of installation games"),
    ("minute_limit", "/budget", "registrations in five minutes"),
    ("slots_full", "/workers", "of 1 slot"),
    ("team_limit", "/teams/", "red"),
    ("stuck", "/workers", "hung"),
    ("removals_held", "/fleet", "37 removals are held."),
    ("sync_behind", "/fleet", "late"),
    ("no_leader", "/workers#schedulers", "No scheduler"),
    ("moving", "/lanes", "provision"),
];

/// Returns the verdict, once it has this code and an admin reads it on the board.
async fn verdict(scene: &Scene, code: &str) -> Value {
    let body = eventually(&format!("the verdict is {code}"), || async {
        let body = scene.admin_get("/admin/verdict").await;
        (body["code"] == code).then_some(body)
    })
    .await;
    read_from_the_board(scene, &body).await;
    body
}

/// Reads a verdict as an admin does: from the tab's title and icon, from the sentence, and from the page behind it.
async fn read_from_the_board(scene: &Scene, verdict: &Value) {
    let [code, level] = ["code", "level"].map(|name| verdict[name].as_str().unwrap());
    let (_, link, cause) = PAGES.iter().find(|(known, ..)| *known == code).expect("a page");
    let word = match level {
        "ok" => "● Moving",
        "note" => "◆ Note",
        "slow" => "▲ Slow",
        _ => "■ Stopped",
    };
    let notice = verdict["notice"]["sentence"].as_str().unwrap_or_default();
    let admin = scene.world.sign_in(&scene.root).await;
    let begin = format!(r#"<a class="sentence" href="{link}"#);
    let board = eventually(&format!("the board says {code}"), || async {
        let page = admin.get("/").await.assert_status(200);
        let text = page.text.replace("&#39;", "'");
        (text.contains(&begin) && text.contains(notice)).then_some(page)
    })
    .await;
    assert!(board.text.contains(&format!("<title>{word} – Board – RTS</title>")), "{}", board.text);
    assert!(board.text.contains(&format!("/favicon-{level}.svg")), "{}", board.text);
    assert!(board.text.contains(&format!(r#"<section class="verdict {level}""#)), "{}", board.text);
    let (_, rest) = board.text.split_once(r#"<a class="sentence" href=""#).unwrap();
    let (href, sentence) = rest.split_once(r#"">"#).unwrap();
    assert!(!sentence.starts_with('<'), "{sentence}");
    let page = admin.get(href.split('#').next().unwrap()).await.assert_status(200);
    assert!(page.text.contains(cause), "{href} says `{cause}`: {}", page.text);
    if let Some((_, anchor)) = href.split_once('#') {
        assert!(page.text.contains(&format!(r#"id="{anchor}""#)), "{href}: {}", page.text);
    }
}

/// Returns the verdicts whose gauges are not zero, as a scheduler sets them.
async fn shown_by_metrics(world: &World) -> Vec<String> {
    // Once the API responds, the metrics have been collected.
    world.request("GET", "/metrics").send().await.assert_status(200);
    scheduler::verdict_metrics::run(world.scheduler_parts(), scheduler::gauges::ShownGauges::default())
        .await
        .unwrap();
    let text = world.request("GET", "/metrics").send().await.assert_status(200).text;
    let gauges: Vec<&str> = text.lines().filter(|line| line.starts_with("rts_verdict{")).collect();
    assert_eq!(gauges.len(), VerdictCode::ALL.len(), "{gauges:?}");
    gauges.into_iter().filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect()
}

fn home() -> InstallationId {
    InstallationId::default()
}

/// Returns a job that has waited for `age`. It has no row: a worker that takes it drops it.
fn waiting(team: Option<TeamId>, age: Duration) -> Ticket {
    Ticket {
        job: JobId::new(),
        installation: home(),
        lane: Lane::Provision,
        team,
        weight: 1.0,
        cost: 1,
        age,
        time_left: Duration::from_mins(8),
        delay: Duration::ZERO,
        urgent: false,
    }
}

#[tokio::test]
async fn service_that_works_moves_and_anyone_else_sees_no_verdict() {
    let scene = Scene::with(World::builder().workers(1).scheduler()).await;
    let world = &scene.world;
    let asked = world.provision(&scene.ada, provision_body("ci")).await;
    world.until_final(&scene.ada, asked.job).await;
    let moving = verdict(&scene, "moving").await;
    assert_eq!((&moving["level"], &moving["notice"]), (&json!("ok"), &Value::Null));
    assert_eq!(moving["link"], "/api/v1/admin/queues");
    let sentence = moving["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("Jobs move: ") && sentence.contains("no job waits"), "{sentence}");
    world.get("/admin/verdict", &scene.ada).await.refused(403, "admin_required");
    let told = world.get("/status", &scene.ada).await.assert_status(200).body;
    assert_eq!(told, json!({ "level": "ok", "sentence": "New runners start at once." }));
}

#[tokio::test]
async fn redis_that_does_not_answer_is_the_verdict() {
    let scene = Scene::with(World::builder().own_servers().workers(0)).await;
    let world = &scene.world;
    world.servers(|stack| stack.halt(Server::Redis)).await;
    let away = verdict(&scene, "queue_away").await;
    assert_eq!((&away["level"], &away["link"]), (&json!("stopped"), &json!("/api/v1/admin/workers")));
    let told = eventually("a member is told", || async {
        let body = world.get("/status", &scene.ada).await.assert_status(200).body;
        (body["level"] == "stopped").then_some(body)
    })
    .await;
    assert!(told["sentence"].as_str().unwrap().contains("no new runner starts now"), "{told}");
    world.servers(|stack| stack.restart(Server::Redis)).await;
    verdict(&scene, "no_leader").await;
}

#[tokio::test]
async fn suspended_installation_is_named_with_its_waiting_jobs() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let world = &scene.world;
    world.twin.control().suspend(5_151_515, true).unwrap();
    world.provision(&scene.ada, provision_body("ci")).await;
    // The job that met the suspension runs until it is put off.
    let suspended = eventually("the job that was put off waits", || async {
        let body = verdict(&scene, "installation_suspended").await;
        body["sentence"].as_str().unwrap().contains("default; 1 job waits").then_some(body)
    })
    .await;
    assert_eq!(
        suspended["notice"]["sentence"],
        "1 critical security event waits for an admin's acknowledgement."
    );
}

#[tokio::test]
async fn refusal_that_needs_an_operator_quotes_github_until_a_job_succeeds() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let world = &scene.world;
    let body = Some(json!({ "message": "Not Found, or not yours" }));
    let refusal = FaultKind::Answer { status: 404, headers: Vec::new(), body };
    world.twin.fault(Fault::once("POST", "generate-jitconfig", refusal));
    let asked = world.provision(&scene.ada, provision_body("ci")).await;
    assert_eq!(world.until_final(&scene.ada, asked.job).await["error"]["code"], "github_refused");
    let needed = verdict(&scene, "operator_needed").await;
    assert!(needed["sentence"].as_str().unwrap().contains("404: Not Found, or not yours"), "{needed}");
    let asked = world.provision(&scene.ada, provision_body("ci")).await;
    assert_eq!(world.until_final(&scene.ada, asked.job).await["state"], "succeeded");
    verdict(&scene, "no_leader").await;
}

#[tokio::test]
async fn limits_of_github_are_named_with_their_ends() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let (world, queue) = (&scene.world, scene.world.queue());
    for _ in 0..5 {
        queue.record_outcome(&home(), Availability::Bad).await.unwrap();
    }
    assert_eq!(verdict(&scene, "github_outage").await["level"], "slow");
    world.redis().flush().await;

    queue.slow_down(&home(), Duration::from_mins(10)).await.unwrap();
    let slowed = verdict(&scene, "secondary_limit").await;
    assert!(slowed["sentence"].as_str().unwrap().contains("writes a minute"), "{slowed}");
    world.redis().flush().await;

    let observation = Observation {
        endpoint: Some("runner"),
        resource: "core".to_owned(),
        limit: 5000,
        remaining: 0,
        reset_in: Duration::from_mins(30),
        reset: 0,
    };
    queue.observe(&home(), &observation).await.unwrap();
    verdict(&scene, "window_empty").await;
    queue.pause(&home(), Duration::from_mins(1), Reason::Budget).await.unwrap();
    assert_eq!(verdict(&scene, "window_empty").await["link"], "/api/v1/admin/budget");
    world.redis().flush().await;
    verdict(&scene, "no_leader").await;
}

#[tokio::test]
async fn limit_of_registrations_that_is_used_up_is_named_while_jobs_wait() {
    // The second registration comes a period after the first: then two of two are used, and the third has to wait as
    // long. More jobs wait, so that the state comes again in each of the next periods.
    let registrations_period = Duration::from_secs(15);
    let tight = BudgetSettings { registrations: 2, registrations_period, ..BudgetSettings::default() };
    let scene = Scene::with(World::builder().workers(1).budget(tight)).await;
    for _ in 0..8 {
        scene.world.provision(&scene.ada, provision_body("ci")).await;
    }
    let limit = verdict(&scene, "minute_limit").await;
    let sentence = limit["sentence"].as_str().unwrap();
    let start = "Installation default is at GitHub's limit: 2 of 2 registrations in five minutes; the oldest job waits ";
    assert!(sentence.starts_with(start), "{sentence}");
}

#[tokio::test]
async fn pause_by_an_admin_is_told_with_author_and_reason() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let world = &scene.world;
    let body = json!({ "seconds": 900, "reason": "rolling out 2.4" });
    world.post("/admin/queues/provision/pause", &scene.root, &body).await.assert_status(200);
    world.provision(&scene.ada, provision_body("ci")).await;
    let paused = verdict(&scene, "paused").await;
    let sentence = paused["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("root@example.com paused the provision lane until "), "{sentence}");
    assert!(sentence.ends_with(" UTC (“rolling out 2.4”); 1 job waits."), "{sentence}");
}

#[tokio::test]
async fn missing_worker_and_missing_credential_are_told_apart() {
    let games = ExtraInstallation::org("games", "games-org");
    let mut twin = github_twin::TwinConfig::default();
    twin.more_installations.push((6_161_616, "games-org".to_owned()));
    let scene = Scene::with(World::builder().workers(0).twin(twin).installation(games)).await;
    let world = &scene.world;
    let blue = TeamDraft { installation: "games".parse().unwrap(), ..team_draft("blue") };
    let blue = world.team(blue).await;
    let bob = world.user("bob", &[&blue]).await;
    world.provision(&bob, provision_body("ci")).await;
    let none = verdict(&scene, "no_worker").await;
    assert_eq!(none["sentence"], "No worker was seen in the last hour, and 1 job waits.");
    assert_eq!(shown_by_metrics(world).await, [r#"rts_verdict{level="stopped",code="no_worker"} 1"#]);
    world.keep_running(world.start_worker_for(|name| name == "default"));
    let lacking = verdict(&scene, "no_credential").await;
    assert_eq!(shown_by_metrics(world).await, [r#"rts_verdict{level="stopped",code="no_credential"} 1"#]);
    assert!(lacking["sentence"].as_str().unwrap().contains("installation games"), "{lacking}");
}

#[tokio::test]
async fn full_slots_are_the_reason_of_a_long_wait() {
    let scene = Scene::with(World::builder().workers(0).concurrency(1)).await;
    let world = &scene.world;
    world.twin.fault(Fault::once("POST", "generate-jitconfig", FaultKind::Latency { ms: 15_000 }));
    let asked = world.provision(&scene.ada, provision_body("ci")).await;
    world.keep_running(world.start_worker());
    world.fault_consumed().await;
    world.queue().enqueue(&[waiting(None, Duration::from_secs(48))]).await.unwrap();
    let full = verdict(&scene, "slots_full").await;
    assert!(full["sentence"].as_str().unwrap().starts_with("All 1 slots are busy"), "{full}");
    assert_eq!(world.until_final(&scene.ada, asked.job).await["state"], "succeeded");
}

#[tokio::test]
async fn team_that_its_own_limit_holds_is_named() {
    let one = BudgetSettings { team_running: 1, ..BudgetSettings::default() };
    let scene = Scene::with(World::builder().workers(0).budget(one.clone())).await;
    let (world, queue) = (&scene.world, scene.world.queue());
    queue.set_budget(&home(), &one).await.unwrap();
    let jobs: Vec<Ticket> = (0..12).map(|_| waiting(Some(scene.red.id), Duration::ZERO)).collect();
    queue.enqueue(&jobs).await.unwrap();
    let claimer = queue::Claimer::new("test", Duration::from_mins(2));
    assert_eq!(queue.claim(&claimer, 4).await.unwrap().jobs.len(), 1, "the others are set aside");
    assert_eq!(queue.team_backlogs(&home()).await.unwrap()[0].waiting, 11);
    world.keep_running(world.start_worker());
    let limit = verdict(&scene, "team_limit").await;
    assert_eq!(limit["sentence"], "Team red has 11 of the 11 waiting jobs, and its own limit holds them.");
}

#[tokio::test]
async fn worker_that_takes_no_job_is_reported_as_a_standstill() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let world = &scene.world;
    let hung = "INSERT INTO workers (name, version, concurrency, running) VALUES ('hung', '0.4.0', 8, 0)";
    sqlx::query(hung).execute(world.sql()).await.unwrap();
    world.queue().enqueue(&[waiting(None, Duration::from_secs(90))]).await.unwrap();
    let stuck = verdict(&scene, "stuck").await;
    assert_eq!((&stuck["level"], &stuck["link"]), (&json!("stopped"), &json!("/api/v1/admin/workers")));
}

#[tokio::test]
async fn sync_and_leader_come_after_everything_that_stops_jobs() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let world = &scene.world;
    let led = "INSERT INTO scheduler_leases (name, holder, term, renewed_at, expires_at)
        VALUES ('scheduler', 'sched-1', 1, now() - interval '11 minutes', now() - interval '10 minutes')";
    sqlx::query(led).execute(world.sql()).await.unwrap();
    let sentence = verdict(&scene, "no_leader").await["sentence"].clone();
    assert!(sentence.as_str().unwrap().starts_with("No scheduler leads since "), "{sentence}");
    let old = "INSERT INTO sync_status (installation, interval_seconds, last_run_time)
        VALUES ('default', 60, now() - interval '22 minutes')";
    sqlx::query(old).execute(world.sql()).await.unwrap();
    assert_eq!(verdict(&scene, "sync_behind").await["level"], "note");
    sqlx::query("UPDATE sync_status SET removals_held = 37").execute(world.sql()).await.unwrap();
    let held = verdict(&scene, "removals_held").await;
    assert!(held["sentence"].as_str().unwrap().contains("37 removals"), "{held}");
}
