//! Isolation of lists from provisioning: separate connections, short time-outs, bounded sizes.

use std::collections::HashSet;

use harness::{Builder, Person, World, eventually, provision_body, team_draft, wait_until};
use runtime::config::ServerGuards;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

struct Scene {
    world: World,
    ada: Person,
    root: Person,
}

async fn scene() -> Scene {
    scene_with(World::builder()).await
}

async fn scene_with(builder: Builder) -> Scene {
    let world = builder.workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    Scene { ada: world.user("ada", &[&red]).await, root: world.admin().await, world }
}

impl Scene {
    /// Opens a session that blocks reads of the security events until it is closed.
    async fn lock_events(&self) -> PgConnection {
        let mut session = PgConnection::connect(self.world.database().url()).await.unwrap();
        let lock = "BEGIN; LOCK TABLE security_events IN ACCESS EXCLUSIVE MODE";
        sqlx::raw_sql(lock).execute(&mut session).await.unwrap();
        session
    }

    async fn list(&self, path: &str) -> Value {
        self.world.get(path, &self.root).await.assert_status(200).body
    }
}

/// Counts database sessions that wait to read a list.
const WAITING_LISTS: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND application_name LIKE '%lists' AND wait_event_type = 'Lock'";

#[tokio::test]
async fn blocked_lists_return_503_and_do_not_delay_provisioning() {
    let scene = scene().await;
    let world = &scene.world;
    let lock = scene.lock_events().await;
    let mut lists = JoinSet::new();
    for _ in 0..12 {
        lists.spawn(world.ask("GET", "/admin/security-events").by(&scene.root).send());
    }
    wait_until("lists are stuck", || async { world.count(WAITING_LISTS).await > 0 }).await;
    for _ in 0..5 {
        world.jit(&scene.ada, &provision_body("ci")).await.assert_status(202);
        world.get("/auth/me", &scene.ada).await.assert_status(200);
    }
    while let Some(answer) = lists.join_next().await {
        let answer = answer.unwrap();
        assert!(matches!(answer.status, 429 | 503), "{} {}", answer.status, answer.text);
        assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    }
    lock.close().await.unwrap();
    scene.list("/admin/security-events").await;
}

#[tokio::test]
async fn caller_whose_lists_took_long_rests_and_others_do_not() {
    let scene = scene_with(World::builder().guards(ServerGuards::default())).await;
    let world = &scene.world;
    let lock = scene.lock_events().await;
    let refused = eventually("the admin's lists took more than their time", || async {
        let answer = world.get("/admin/security-events", &scene.root).await;
        (answer.status == 429).then_some(answer)
    })
    .await
    .refused(429, "rate_limited");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    for list in ["/runners", "/jobs", "/audit-logs"] {
        world.get(list, &scene.ada).await.assert_status(200);
    }
    world.jit(&scene.ada, &provision_body("ci")).await.assert_status(202);
    world.get("/auth/me", &scene.root).await.assert_status(200);
    lock.close().await.unwrap();
    wait_until("the admin's lists are answered again", || async {
        world.get("/admin/security-events", &scene.root).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn list_is_cancelled_when_its_reader_hangs_up() {
    let scene = scene().await;
    let world = &scene.world;
    let lock = scene.lock_events().await;
    let list = tokio::spawn(world.ask("GET", "/admin/security-events").by(&scene.root).send());
    let waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
        AND application_name LIKE '%lists' AND wait_event_type = 'Lock'";
    let backend: i32 = eventually("the list waits", || async {
        sqlx::query_scalar(waiting).fetch_optional(world.sql()).await.unwrap()
    })
    .await;
    list.abort();
    wait_until("its backend has ended although the lock is still held", || async {
        let there = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)";
        !sqlx::query_scalar::<_, bool>(there).bind(backend).fetch_one(world.sql()).await.unwrap()
    })
    .await;
    lock.close().await.unwrap();
}

#[tokio::test]
async fn long_lists_are_counted_to_ten_thousand() {
    let scene = scene().await;
    let rows = "INSERT INTO audit_log (id, event_type, success)
        SELECT gen_random_uuid(), CASE WHEN n <= 10000 THEN 'a.a' ELSE 'b.b' END, true FROM generate_series(1, 10001) n";
    sqlx::raw_sql(rows).execute(scene.world.sql()).await.unwrap();
    let exact = scene.list("/audit-logs?event_type=a.a&limit=1").await;
    assert_eq!((&exact["total"], &exact["total_is_lower_bound"]), (&json!(10_000), &json!(false)));
    let bound = scene.list("/audit-logs?limit=1").await;
    assert_eq!((&bound["total"], &bound["total_is_lower_bound"]), (&json!(10_000), &json!(true)));
}

#[tokio::test]
async fn pages_of_a_member_have_own_and_team_rows_once_and_in_order() {
    let world = World::builder().workers(0).start().await;
    let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    world.team(team_draft("green")).await;
    let ada = world.user("ada", &[&red, &blue]).await;
    // Of sixty rows each third one is Ada's own, and a quarter each is of red, blue, green and no team.
    let rows = "INSERT INTO audit_log (id, event_type, user_id, team_id, success)
        SELECT (lpad(to_hex(n), 12, '0') || '7000' || lpad('', 16, '8'))::uuid, 'test.row',
            CASE WHEN n % 3 = 0 THEN (SELECT id FROM users WHERE email LIKE 'ada%') END,
            (SELECT id FROM teams WHERE name = (ARRAY['red', 'blue', 'green', 'none'])[1 + n % 4]), n % 5 > 0
        FROM generate_series(1, 60) n";
    sqlx::raw_sql(rows).execute(world.sql()).await.unwrap();
    let visible = |n: &i64| n % 3 == 0 || n % 4 < 2;
    for (filter, expected) in [
        ("", (1..=60).rev().filter(visible).collect::<Vec<i64>>()),
        ("&success=false", (1..=60).rev().filter(visible).filter(|n| n % 5 == 0).collect()),
        ("&team=red", (1..=60).rev().filter(|n| n % 4 == 0).collect()),
        ("&team=green", (1..=60).rev().filter(|n| n % 4 == 2 && n % 3 == 0).collect()),
    ] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/audit-logs?event_type=test.row&limit=7{filter}{cursor}");
            let page = world.get(&path, &ada).await.assert_status(200).body;
            assert_eq!(page["total"], expected.len(), "{filter}");
            let ids = page["logs"].as_array().unwrap().iter();
            found.extend(ids.map(|row| {
                i64::from_str_radix(&row["id"].as_str().unwrap().replace('-', "")[..12], 16).unwrap()
            }));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(found, expected, "{filter}");
        let path = format!("/audit-logs?event_type=test.row&limit=5&offset=3{filter}");
        let page = world.get(&path, &ada).await.assert_status(200).body;
        assert_eq!(
            page["logs"].as_array().unwrap().len(),
            expected.len().saturating_sub(3).min(5),
            "{filter}"
        );
    }
}

#[tokio::test]
async fn pages_of_large_rows_are_shorter_and_complete() {
    let scene = scene().await;
    let rows = "INSERT INTO audit_log (id, event_type, event_data, success)
        SELECT gen_random_uuid(), 'large.row', jsonb_build_object('n', n, 'text', repeat(md5(n::text), 1900)), true
        FROM generate_series(1, 100) n";
    sqlx::raw_sql(rows).execute(scene.world.sql()).await.unwrap();
    let (mut seen, mut cursor, mut pages) = (HashSet::new(), String::new(), 0);
    loop {
        let path = format!("/audit-logs?event_type=large.row&limit=1000{cursor}");
        let answer = scene.world.get(&path, &scene.root).await.assert_status(200);
        assert!(answer.text.len() < 2_500_000, "{} bytes", answer.text.len());
        assert_eq!(answer.body["total"], 100);
        let rows = answer.body["logs"].as_array().unwrap();
        assert!(rows.iter().all(|row| seen.insert(row["id"].to_string())), "no row comes twice");
        pages += 1;
        match answer.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 100);
    assert!(pages > 2, "{pages}");
}

#[tokio::test]
async fn rows_since_a_time_are_found_by_their_ids() {
    let scene = scene().await;
    scene.world.jit(&scene.ada, &provision_body("ci")).await.assert_status(202);
    let now = chrono::Utc::now();
    let since = |minutes: i64| {
        (now + chrono::TimeDelta::minutes(minutes)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    };
    let scene = &scene;
    let total = |since: String| async move {
        scene.list(&format!("/audit-logs?event_type=runner.provision&since={since}")).await["total"].clone()
    };
    assert_eq!(total(since(-5)).await, 1);
    assert_eq!(total(since(5)).await, 0);
}
