//! Independence of callers: waiting or refused requests do not delay other callers.

use std::time::Instant;

use harness::{Person, Team, World, provision_body, team_draft, wait_until};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use store::TeamDraft;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Opens a transaction that holds the quota lock of a team, as a request does before its commit.
async fn hold_quota(world: &World, team: &Team) -> PgConnection {
    let mut session = PgConnection::connect(world.database().url()).await.unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut session).await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('quota:' || $1, 0))")
        .bind(team.id.to_string())
        .execute(&mut session)
        .await
        .unwrap();
    session
}

#[tokio::test]
async fn held_quota_lock_leaves_connections_to_others() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(TeamDraft { max_runners: Some(100), ..team_draft("red") }).await;
    let blue = world.team(team_draft("blue")).await;
    let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&blue]).await);
    let frozen = hold_quota(&world, &red).await;
    let mut waiting = JoinSet::new();
    for n in 0..12 {
        let wanted = world.ask("POST", "/runners/jit").by(&ada).header("idempotency-key", &format!("k-{n}"));
        waiting.spawn(wanted.json(&provision_body("ci")).send());
    }
    let stuck = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'";
    wait_until("they wait for the lock", || async { world.count(stuck).await > 0 }).await;
    for _ in 0..10 {
        world.get("/auth/me", &bob).await.assert_status(200);
        world.jit(&bob, &provision_body("ci")).await.assert_status(202);
        assert!(world.count(stuck).await <= 2, "a few connections at most");
    }
    while let Some(answer) = waiting.join_next().await {
        let answer = answer.unwrap().refused(503, "database_unavailable");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    }
    frozen.close().await.unwrap();
    let again = world
        .ask("POST", "/runners/jit")
        .by(&ada)
        .header("idempotency-key", "k-0")
        .json(&provision_body("ci"));
    again.send().await.assert_status(202);
    assert_eq!(world.count("SELECT count(*) FROM jobs WHERE requester_user IS NOT NULL").await, 11);
}

struct Refused {
    world: World,
    ada: Person,
    red: Team,
}

async fn refused() -> Refused {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    Refused { ada: world.user("ada", &[&red]).await, red, world }
}

impl Refused {
    /// Returns the number of rows and the sum of their counts.
    async fn rows(&self, sql: &'static str) -> (i64, i64) {
        sqlx::query_as(sql).fetch_one(self.world.sql()).await.unwrap()
    }
}

const AUDITED: &str = "SELECT count(*), coalesce(sum(occurrences), 0)::int8 FROM audit_log WHERE NOT success";
const ALARMED: &str = "SELECT count(*), coalesce(sum(occurrences), 0)::int8 FROM security_events";

#[tokio::test]
async fn equal_refusals_share_a_row_that_counts_them() {
    let scene = refused().await;
    let body = json!({ "runner_name_prefix": "ci", "labels": ["forbidden"] });
    for _ in 0..20 {
        scene.world.jit(&scene.ada, &body).await.refused(403, "label_policy_violation");
    }
    for sql in [AUDITED, ALARMED] {
        let (rows, occurrences) = scene.rows(sql).await;
        assert_eq!(occurrences, 20);
        // One more row for each minute that started meanwhile.
        assert!(rows < 5, "{rows}");
    }
    let other = json!({ "runner_name_prefix": "ci", "labels": ["forbidden", "too"] });
    let (before, _) = scene.rows(AUDITED).await;
    scene.world.jit(&scene.ada, &other).await.refused(403, "label_policy_violation");
    assert_eq!(scene.rows(AUDITED).await.0, before + 1, "another refusal has another row");
    let shown = scene.world.get("/audit-logs?success=false", &scene.ada).await.assert_status(200).body;
    let row = &shown["logs"].as_array().unwrap()[1];
    assert!(row["occurrences"].as_i64().unwrap() > 1 && !row["last_at"].is_null(), "{row}");
}

#[tokio::test]
async fn refusal_stores_a_bounded_part_of_the_request() {
    let scene = refused().await;
    let labels: Vec<String> = (0..90).map(|n| format!("{n:03}{}", "x".repeat(250))).collect();
    let body = json!({ "runner_name_prefix": "ci", "labels": labels });
    scene.world.jit(&scene.ada, &body).await.refused(403, "label_policy_violation");
    let sql = "SELECT max(octet_length(event_data::text)), 0::int8 FROM audit_log WHERE NOT success";
    let (bytes, _): (i32, i64) = sqlx::query_as(sql).fetch_one(scene.world.sql()).await.unwrap();
    assert!(bytes < 2500, "{bytes}");
    let data: Value = sqlx::query_scalar("SELECT violation_data FROM security_events")
        .fetch_one(scene.world.sql())
        .await
        .unwrap();
    assert_eq!((&data["label_count"], &data["refused_label_count"]), (&json!(90), &json!(90)));
    assert_eq!(data["labels"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn unknown_caller_writes_no_audit_row_of_a_team() {
    let scene = refused().await;
    let blue = scene.world.team(team_draft("blue")).await;
    let bob = scene.world.user("bob", &[&blue]).await;
    let body = json!({ "runner_name_prefix": "your-ci-broke", "team_id": scene.red.id });
    scene.world.jit(&bob, &body).await.refused(403, "team_forbidden");
    let log = scene.world.get("/audit-logs?success=false", &scene.ada).await.assert_status(200).body;
    assert_eq!(log["total"], 0, "{log}");
    let root = scene.world.admin().await;
    let all = scene.world.get("/audit-logs?success=false", &root).await.assert_status(200).body;
    assert_eq!(all["logs"][0]["event_data"]["team_id"], json!(scene.red.id));
}

/// Bytes of the largest row a refusal leaves in the audit log, and in the security events.
const MAX_REFUSAL_BYTES: i64 = 2_500;
/// Refusals that are written down at once, and a minute, at the usual rate of a caller.
const REFUSALS_AT_ONCE: u64 = 30;
const REFUSALS_PER_MINUTE: u64 = 10;

#[tokio::test]
async fn burst_of_refusals_is_answered_429_and_adds_bounded_bytes() {
    let world = World::builder().workers(0).rate(600, 100).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let (begun, mut recorded, mut limited) = (Instant::now(), 0_u64, 0);
    for _ in 0..300 {
        // Nothing of it repeats, so that neither counting nor compression makes it small.
        let label = || [Uuid::new_v4(), Uuid::new_v4()].map(|id| id.simple().to_string()).concat();
        let labels: Vec<String> = (0..90).map(|_| label()).collect();
        let body = json!({ "runner_name_prefix": "ci", "labels": labels });
        let wanted = world.ask("POST", "/runners/jit").by(&ada).header("user-agent", &label().repeat(3));
        let answer = wanted.json(&body).send().await;
        if answer.status == 403 {
            answer.refused(403, "label_policy_violation");
            recorded += 1;
        } else {
            let answer = answer.refused(429, "rate_limited");
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1, "{}", answer.text);
            limited += 1;
        }
    }
    let minutes = begun.elapsed().as_secs() / 60 + 1;
    assert!(recorded <= REFUSALS_AT_ONCE + REFUSALS_PER_MINUTE * minutes && limited > 0, "{recorded}");

    let mut bytes = 0;
    for sql in [
        "SELECT count(*), sum(pg_column_size(audit_log))::int8 FROM audit_log WHERE NOT success",
        "SELECT count(*), sum(pg_column_size(security_events))::int8 FROM security_events",
    ] {
        let (rows, size): (i64, i64) = sqlx::query_as(sql).fetch_one(world.sql()).await.unwrap();
        assert_eq!(rows.unsigned_abs(), recorded, "{sql}");
        assert!(size <= rows * MAX_REFUSAL_BYTES, "{size} bytes of {rows} rows: {sql}");
        bytes += size.unsigned_abs();
    }
    let a_day = (REFUSALS_AT_ONCE + REFUSALS_PER_MINUTE * 24 * 60) * bytes / recorded;
    assert!(a_day <= 100_000_000, "{a_day} bytes a day, {bytes} of {recorded} refusals");
}
