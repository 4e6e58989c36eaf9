//! A company at work: three teams, machines, runners in every state, two causes of failures, held removals and a lane
//! that an admin has paused. The crawl and the pictures of the documentation look at it.

use github_twin::RunnerChange;
use harness::{Accepted, ApiResponse, Person, Team, World, eventually, team_draft};
use serde_json::json;
use store::{TeamDraft, UserDraft};
use uuid::Uuid;

/// A course of two days: load in waves, a few failures.
const FLOW: &str = "INSERT INTO flow (span, at, installation, kind, accepted, started, succeeded, failed, expired,
        cancelled, wait, run)
    SELECT 'minute', at, 'default', 'provision', n, n, n - f, f, 0, 0,
        ARRAY[n / 2, n - n / 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], ARRAY[0, n / 3, n - n / 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    FROM (SELECT at, (110 + 90 * sin(m / 11.0) + 35 * sin(m / 2.3))::bigint AS n,
            CASE WHEN m % 17 = 0 THEN 2 ELSE 0 END AS f
        FROM (SELECT date_trunc('minute', now()) - make_interval(mins => m) AS at, m
            FROM generate_series(6, 2800) AS m) AS minutes) AS course";
/// Depth of the lanes in the same time.
const DEPTHS: &str = "INSERT INTO queue_depths (span, at, installation, lane, waiting, delayed, running, oldest_ms)
    SELECT 'minute', at, 'default', lane, n, n / 9, 8, n * 420
    FROM (SELECT date_trunc('minute', now()) - make_interval(mins => m) AS at, lane,
            greatest(0, CASE lane WHEN 'provision' THEN 60 * sin(m / 13.0) + 24 * sin(m / 3.1)
                WHEN 'deprovision' THEN 9 * sin(m / 5.0) ELSE 0 END)::bigint AS n
        FROM generate_series(0, 2800) AS m, unnest(ARRAY['provision', 'deprovision', 'drift']) AS lane) AS course
    ON CONFLICT DO NOTHING";
const SINKS: &str =
    "WITH streams AS (INSERT INTO event_streams (sink, chain, last_transaction, last_id, refusals,
            failing_since, waiting_since, last_status, last_error, delivered_at)
        VALUES ('siem', 'audit_log', '1', gen_random_uuid(), 0, NULL, NULL, NULL, NULL, now()),
            ('chat', 'security_events', '1', gen_random_uuid(), 4, now() - interval '6 minutes',
                now() - interval '6 minutes', 503, 'the sink answered 503', now() - interval '8 minutes'))
    INSERT INTO event_deliveries (id, sink, chain, event_id, event_type, attempts, last_status, last_error)
    VALUES (gen_random_uuid(), 'chat', 'security_events', gen_random_uuid(), 'label_policy_violation', 3, 422,
        'the sink answered 422')";
const TEAMS: &str = "INSERT INTO flow_teams (span, at, team_id, accepted, started, succeeded, failed, expired, cancelled)
    SELECT 'minute', date_trunc('minute', now()) - interval '9 minutes', id, n, n, n, 0, 0, 0
    FROM (SELECT id, CASE name WHEN 'web' THEN 610 WHEN 'games-ci' THEN 220 ELSE 80 END AS n FROM teams) AS parts";
const GONE: &str = "INSERT INTO workers (name, version, concurrency, running, host, lanes, installations, started_at, heartbeat_at)
    VALUES ('worker-7', '0.0.9', 8, 2, 'ci-host-7', '{provision,deprovision,drift}', '{default}',
        now() - interval '4 days', now() - interval '9 minutes')";

/// The company and those who look at it.
pub(super) struct Company {
    pub(super) world: World,
    pub(super) web: Team,
    /// Member of web and games-ci.
    pub(super) ada: Person,
    pub(super) grace: Person,
    pub(super) vera: Person,
    /// A runner that is online.
    pub(super) online: Accepted,
    /// A job that failed.
    pub(super) failed: Uuid,
    /// A job whose config waits for its hand-out.
    pub(super) ready: Uuid,
    /// A job that a pause holds.
    pub(super) waiting: Uuid,
    pub(super) client: Uuid,
    pub(super) batch: Uuid,
    pub(super) incident: Uuid,
    pub(super) event: Uuid,
    /// An open claim ticket of web.
    pub(super) ticket: Uuid,
}

fn team(name: &str, weight: f64, max_runners: i32) -> TeamDraft {
    TeamDraft {
        description: Some(format!("Continuous integration of {name}")),
        optional_label_patterns: vec!["linux".into(), "x64".into(), "glob:gpu-t4-*".into()],
        allowed_repositories: vec!["octo/*".to_owned()],
        max_runners: Some(max_runners),
        weight,
        ..team_draft(name)
    }
}

/// Returns the id of the newest row that this query finds.
async fn newest(world: &World, sql: &'static str) -> Uuid {
    sqlx::query_scalar(sql).fetch_one(world.sql()).await.unwrap()
}

/// Asks for a runner whose job ends at once.
async fn ask(world: &World, who: &Person, team: &Team, prefix: &str) -> Accepted {
    let body = json!({ "runner_name_prefix": prefix, "team_id": team.id, "labels": ["linux", "x64"] });
    let asked = world.provision(who, body).await;
    world.until_final(who, asked.job).await;
    asked
}

/// Makes GitHub refuse a runner with this message. Returns its job.
async fn refused(world: &World, who: &Person, team: &Team, message: &str) -> Uuid {
    world.refuse_next_runner(message);
    ask(world, who, team, "ci").await.job
}

/// Brings the first runners online, in several states, and lets a sync run see them.
async fn bring_online(world: &World, ada: &Person, grace: &Person, online: &Accepted) {
    let change = |n: usize| match n % 4 {
        0 => RunnerChange::online(),
        1 => RunnerChange::busy(),
        2 => RunnerChange { version: Some("2.321.0".into()), ..RunnerChange::online() },
        _ => RunnerChange::offline(),
    };
    for (n, runner) in world.twin.runners().into_iter().take(5).enumerate() {
        world.twin.set_runner(runner.id, RunnerChange::online()).unwrap();
        world.twin.set_runner(runner.id, change(n)).unwrap();
    }
    let stray = json!({ "name": "old-builder-3", "labels": ["self-hosted", "linux"], "status": "online" });
    world.twin.create_runner(serde_json::from_value(stray).unwrap()).unwrap();
    world.ask("POST", "/admin/sync/trigger").by(grace).send().await;
    eventually("a runner is online", || async {
        let runner = world.get(&format!("/runners/{}", online.runner), ada).await.assert_status(200).body;
        (runner["status"] == "active").then_some(())
    })
    .await;
}

/// Returns the id in an answer.
fn id_of(answer: &ApiResponse, member: &str) -> Uuid {
    answer.body[member].as_str().unwrap_or_else(|| panic!("{}", answer.text)).parse().unwrap()
}

/// Lets a job fail and an admin retry it. Returns the batch.
async fn retried(world: &World, who: &Person, admin: &Person, team: &Team) -> Uuid {
    let failed = refused(world, who, team, "Runner group 7 does not exist").await;
    let retry = json!({ "job_ids": [failed], "comment": "The group was made again" });
    id_of(&world.post("/admin/batch/retry-jobs", admin, &retry).await, "id")
}

/// Opens a claim ticket.
async fn open_ticket(world: &World, who: &Person, team: &Team) -> Uuid {
    let ticket = json!({ "runner_name_prefix": "vm", "team_id": team.id, "labels": ["linux"],
        "addresses": ["10.20.0.0/16"] });
    id_of(&world.post("/runners/tickets", who, &ticket).await, "ticket_id")
}

/// Starts the company.
pub(super) async fn company() -> Company {
    let world = World::builder().workers(2).scheduler().start().await;
    let web = world.team(team("web", 3.0, 100)).await;
    let games = world.team(team("games-ci", 1.0, 60)).await;
    let infra = world.team(team("infra", 1.0, 20)).await;
    let named = |name: &str, shown: &str| UserDraft {
        display_name: Some(shown.to_owned()),
        ..world.user_draft(name)
    };
    let ada = world.person(named("ada", "Ada Lovelace"), &[&web, &games]).await;
    let grace = UserDraft { is_admin: true, ..named("grace", "Grace Hopper") };
    let grace = world.person(grace, &[&web, &infra]).await;
    let vera = UserDraft { is_viewer: true, ..named("vera", "Vera Rubin") };
    let vera = world.person(vera, &[]).await;
    let client = world.machine("deploy", &web).await.id.uuid();
    let mallory = world.user("mallory", &[&infra]).await;

    let online = ask(&world, &ada, &web, "ci").await;
    for (team, prefix) in [(&web, "nightly"), (&games, "render"), (&games, "bake"), (&web, "e2e")] {
        ask(&world, &ada, team, prefix).await;
    }
    let ready = ask(&world, &ada, &web, "release").await.job;
    world.credential(&ada, online.job).await.assert_status(200);
    bring_online(&world, &ada, &grace, &online).await;

    let failed = refused(&world, &ada, &web, "Resource not accessible by integration").await;
    refused(&world, &ada, &games, "Resource not accessible by integration").await;
    refused(&world, &ada, &games, "Runner group 7 does not exist").await;
    let forbidden = json!({ "runner_name_prefix": "ci", "team_id": web.id, "labels": ["gpu-a100"] });
    world.jit(&ada, &forbidden).await.assert_status(403);
    let batch = retried(&world, &ada, &grace, &web).await;
    let incident = json!({ "user": mallory.id, "reason": "A laptop was stolen on the train" });
    let incident = id_of(&world.post("/admin/incidents", &grace, &incident).await, "id");
    let ticket = open_ticket(&world, &ada, &web).await;

    for sql in [FLOW, DEPTHS, TEAMS, GONE, SINKS] {
        sqlx::query(sql).execute(world.sql()).await.unwrap();
    }
    let event = newest(&world, "SELECT id FROM security_events ORDER BY id DESC LIMIT 1").await;
    let pause = json!({ "seconds": 600, "reason": "rolling out 2.4" });
    world.post("/admin/queues/provision/pause", &grace, &pause).await.assert_status(200);
    let mut waiting = Uuid::nil();
    for team in [&web, &games, &games, &games, &web] {
        let body = json!({ "runner_name_prefix": "ci", "team_id": team.id, "labels": ["linux"] });
        waiting = world.provision(&ada, body).await.job;
    }
    Company {
        world,
        web,
        ada,
        grace,
        vera,
        online,
        failed,
        ready,
        waiting,
        client,
        batch,
        incident,
        event,
        ticket,
    }
}
