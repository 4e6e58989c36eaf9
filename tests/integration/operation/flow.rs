//! Flow of jobs by minute and hour: exact, filled once, added up.

use harness::{World, provision_body, wait_until};
use scheduler::flow;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::Scene;

/// Jobs of five minutes ago: each waited `wait` seconds, ran `run` seconds and ended in `state`.
const JOBS: &str = "
    INSERT INTO jobs (id, kind, installation, team_id, state, deadline_at, params, created_at, started_at, run_started_at,
        finished_at, fence)
    SELECT gen_random_uuid(), 'provision', 'default', $1, state, now(), '{\"kind\": \"provision\"}', m,
        CASE WHEN wait IS NOT NULL THEN m + make_interval(secs => wait) END,
        CASE WHEN wait IS NOT NULL THEN m + make_interval(secs => wait) END,
        CASE WHEN state NOT IN ('queued', 'running') THEN m + make_interval(secs => coalesce(wait, 0) + run) END, 1
    FROM (SELECT date_trunc('minute', now()) - interval '5 minutes' AS m) minute,
        (VALUES ('succeeded', 0.05::float8, 0.7::float8), ('succeeded', 0.3, 0.8), ('failed', 40, 2),
            ('expired', NULL, 59), ('cancelled', NULL, 1), ('queued', NULL, NULL), ('running', 59, NULL),
            ('succeeded', 59.5, 1)) AS job (state, wait, run)";

impl Scene {
    /// Makes the filling begin ten minutes ago.
    async fn begin_ten_minutes_ago(&self) {
        let back =
            "UPDATE flow_progress SET closed_until = date_trunc('minute', now()) - interval '10 minutes'";
        sqlx::query(back).execute(self.world.sql()).await.unwrap();
    }

    /// Fills until the minute before this one is counted.
    async fn fill(&self) {
        wait_until("all minutes up to now are counted", || async {
            flow::run(self.world.scheduler_parts()).await.unwrap();
            let late =
                "SELECT count(*) FROM flow_progress WHERE closed_until < now() - interval '90 seconds'";
            self.world.count(late).await == 0
        })
        .await;
    }

    /// Returns the sum of one number over all points.
    async fn sum(&self, query: &str, number: &str) -> i64 {
        let body = self.admin_get(&format!("/admin/flow?{query}")).await;
        body["points"].as_array().unwrap().iter().map(|point| point[number].as_i64().unwrap()).sum()
    }
}

#[tokio::test]
async fn each_job_is_counted_in_the_minutes_of_its_events() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let world = &scene.world;
    sqlx::query(JOBS).bind(scene.red.id.uuid()).execute(world.sql()).await.unwrap();
    scene.begin_ten_minutes_ago().await;
    scene.fill().await;
    let body = scene.admin_get("/admin/flow").await;
    let points = body["points"].as_array().unwrap();
    assert_eq!(points.len(), 2, "the minute of the acceptance, and the one after it: {body}");
    let counts = |point: &Value| {
        let words = ["accepted", "started", "succeeded", "failed", "expired", "cancelled"];
        words.map(|word| point[word].as_i64().unwrap())
    };
    assert_eq!(counts(&points[0]), [8, 5, 2, 1, 1, 1], "{body}");
    assert_eq!(counts(&points[1]), [0, 0, 1, 0, 0, 0], "{body}");
    // Waits of 0.05, 0.3, 40, 59 and 59.5 s, and runs of 0.7, 0.8 and 2 s.
    assert_eq!(points[0]["wait"], json!([1, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0]));
    assert_eq!(points[0]["run"], json!([0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!((&points[0]["installation"], &points[0]["kind"]), (&json!("default"), &json!("provision")));
    assert_eq!(body["bounds_ms"].as_array().unwrap().len() + 1, 13);
    let teams = body["teams"].as_array().unwrap();
    assert_eq!((teams.len(), &teams[0]["team_id"]), (1, &json!(scene.red.id)));
    assert_eq!(counts(&teams[0]), [8, 5, 3, 1, 1, 1]);

    let rough = scene.admin_get("/admin/flow?step=3600").await;
    assert!(rough["points"].as_array().unwrap().len() <= 2, "{rough}");
    assert_eq!(scene.sum("step=3600", "accepted").await, 8);
    assert_eq!(scene.sum("installation=games", "accepted").await, 0);
}

#[tokio::test]
async fn filling_again_changes_nothing() {
    let scene = Scene::with(World::builder().workers(0)).await;
    sqlx::query(JOBS).bind(scene.red.id.uuid()).execute(scene.world.sql()).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..2 {
        scene.begin_ten_minutes_ago().await;
        scene.fill().await;
        seen.push(scene.admin_get("/admin/flow").await["points"].clone());
    }
    assert_eq!(seen[0], seen[1]);
    let (a, b) = (scene.world.scheduler_parts(), scene.world.scheduler_parts());
    let (a, b) = tokio::join!(flow::run(a), flow::run(b));
    assert!(a.is_ok() && b.is_ok(), "two leaders for a moment do no harm");
    assert_eq!(scene.sum("", "accepted").await, 8);
}

#[tokio::test]
async fn minute_stays_open_while_a_transaction_of_it_is_open() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let world = &scene.world;
    let mut open = world.store().begin().await.unwrap();
    open.users().get(scene.ada.id).await.unwrap();
    scene.begin_ten_minutes_ago().await;
    wait_until("every minute before the transaction is counted", || async {
        flow::run(world.scheduler_parts()).await.unwrap();
        let near = "SELECT count(*) FROM flow_progress WHERE closed_until > now() - interval '3 minutes'";
        world.count(near).await == 1
    })
    .await;
    let began: chrono::DateTime<chrono::Utc> = sqlx::query_scalar(
        "SELECT min(xact_start) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
            AND state = 'idle in transaction'",
    )
    .fetch_one(world.sql())
    .await
    .unwrap();
    let body = scene.admin_get("/admin/flow").await;
    let closed: chrono::DateTime<chrono::Utc> = body["closed_until"].as_str().unwrap().parse().unwrap();
    assert!(closed <= began, "{closed} {began}");
    open.commit().await.unwrap();
}

#[tokio::test]
async fn real_jobs_are_counted_without_a_counter() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let world = &scene.world;
    for _ in 0..3 {
        let asked = world.provision(&scene.ada, provision_body("ci")).await;
        world.until_final(&scene.ada, asked.job).await;
    }
    let earlier = "UPDATE jobs SET created_at = created_at - interval '3 minutes', started_at = started_at - interval
        '3 minutes', run_started_at = run_started_at - interval '3 minutes', finished_at = finished_at - interval '3 minutes'";
    sqlx::query(earlier).execute(world.sql()).await.unwrap();
    scene.begin_ten_minutes_ago().await;
    scene.fill().await;
    for number in ["accepted", "started", "succeeded"] {
        assert_eq!(scene.sum("", number).await, 3, "{number}");
    }
}

#[tokio::test]
async fn old_minutes_become_hours_and_old_hours_go() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let world = &scene.world;
    let minutes = "INSERT INTO flow SELECT 'minute', date_trunc('hour', now()) - interval '60 hours' + n * interval '1 minute',
            'default', 'provision', 1, 1, 1, 0, 0, 0, array_fill(1::bigint, ARRAY[13]), array_fill(2::bigint, ARRAY[13])
        FROM generate_series(0, 119) n";
    let teams = "INSERT INTO flow_teams SELECT 'minute', at, $1, 1, 1, 1, 0, 0, 0 FROM flow";
    let old = "INSERT INTO flow SELECT 'hour', now() - interval '401 days', 'default', 'provision', 1, 1, 1, 0, 0, 0,
            array_fill(1::bigint, ARRAY[13]), array_fill(1::bigint, ARRAY[13])";
    sqlx::query(minutes).execute(world.sql()).await.unwrap();
    sqlx::query(teams).bind(scene.red.id.uuid()).execute(world.sql()).await.unwrap();
    sqlx::query(old).execute(world.sql()).await.unwrap();
    flow::run(world.scheduler_parts()).await.unwrap();
    let shape = |table: &str| {
        let sql = format!(
            "SELECT string_agg(span || ' ' || n || ' ' || accepted, ', ') FROM (SELECT span, count(*) AS n,
            sum(accepted) AS accepted FROM {table} GROUP BY span) spans"
        );
        sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).fetch_one(world.sql())
    };
    assert_eq!(shape("flow").await.unwrap(), "hour 2 120");
    assert_eq!(shape("flow_teams").await.unwrap(), "hour 2 120");
    let wait: Vec<i64> =
        sqlx::query_scalar("SELECT wait FROM flow LIMIT 1").fetch_one(world.sql()).await.unwrap();
    assert_eq!(wait, [60; 13]);
    let since = (chrono::Utc::now() - chrono::TimeDelta::hours(70)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    assert_eq!(scene.sum(&format!("since={since}&step=3600"), "accepted").await, 120);
}

#[tokio::test]
async fn bad_span_or_step_is_refused() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let (world, root) = (&scene.world, &scene.root);
    for (query, pointer) in [
        ("step=59", "query:step"),
        ("step=61", "query:step"),
        ("step=86460", "query:step"),
        ("step=x", "query:step"),
        ("since=2026-01-01T00:00:00Z&until=2026-06-01T00:00:00Z", "query:step"),
        ("since=2026-06-01T00:00:00Z&until=2026-01-01T00:00:00Z", "query:since"),
        ("since=yesterday", "query:since"),
        ("installation=Default", "query:installation"),
        (&format!("installation={}", "a".repeat(41)), "query:installation"),
        ("colour=red", "query:colour"),
    ] {
        let refused =
            world.get(&format!("/admin/flow?{query}"), root).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), [pointer], "{query}");
    }
    world.get("/admin/flow", &scene.ada).await.refused(403, "admin_required");
    let empty = world.get("/admin/flow?until=1970-01-02T00:00:00Z", root).await.assert_status(200).body;
    assert_eq!((&empty["points"], &empty["teams"]), (&json!([]), &json!([])));
    assert_ne!(scene.red.id.uuid(), Uuid::nil());
}
