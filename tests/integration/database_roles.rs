//! The service as a restricted database role, which cannot change tables or audit rows, and as a Redis user limited to
//! its
//! own keys.

use github_twin::RunnerChange;
use harness::{Database, World, copy_of, empty, provision_body, team_draft, wait_until};
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};
use uuid::Uuid;

use crate::deployment;

/// Rows of several ages, older than the service keeps them (`AUDIT_RETENTION_DAYS=8`), oldest first and before all others.
const OLD_ROWS: &str = "
    INSERT INTO audit_log (id, event_type, success, \"timestamp\", transaction_id)
    SELECT overlay(gen_random_uuid()::text placing '01800000-00' || 99 - days from 1 for 13)::uuid, 'old.' || days, true,
        now() - make_interval(days => days), '0'
    FROM unnest(ARRAY[10, 40]) days";

fn service_pool(database: &Database) -> PgPool {
    PgPoolOptions::new().max_connections(1).connect_lazy(&database.service_url()).unwrap()
}

/// Checks that the database refuses a statement for lack of a privilege.
async fn refused(pool: &PgPool, sql: &str) {
    let error = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(pool).await.expect_err(sql);
    let code = error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
    assert_eq!(code.as_deref(), Some("42501"), "{sql}: {error}");
}

async fn rows_of(world: &World, event_type: &str) -> i64 {
    let count = "SELECT count(*) FROM audit_log WHERE event_type = $1";
    sqlx::query_scalar(count).bind(event_type).fetch_one(world.sql()).await.unwrap()
}

async fn status_of(world: &World, runner: Uuid) -> String {
    world.text("SELECT status FROM runners WHERE id = $1", runner).await
}

#[tokio::test]
async fn service_role_runs_the_whole_service() {
    let world = World::builder().workers(0).start().await;
    let (owner, role) = (world.database().url().to_owned(), world.database().service_role());
    let grant = ["init-db", "--app-role", role];
    let settings = [("DATABASE_URL", owner.as_str()), ("AUDIT_RETENTION_DAYS", "30")];
    let said = world.command(&grant, &settings).await.expect(0);
    assert!(said.stdout.contains("audit rows are kept 30 days"), "{}", said.stdout);
    sqlx::query(OLD_ROWS).execute(world.sql()).await.unwrap();
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;

    let redis = world.redis().create_user(deployment::valkey_rules()).await;
    let redis = ("REDIS_URL", redis.as_str());
    let api = world.program("api", &[redis, ("BOOTSTRAP_ADMINS", "boss@example.com")]);
    let worker = world.program("worker", &[redis]);
    let keep = ("AUDIT_RETENTION_DAYS", "8");
    let scheduler = world.program("scheduler", &[redis, keep, ("SYNC_INTERVAL_SECONDS", "10")]);
    let address = api.address().await;
    let call = |method: &str, path: String| world.ask_at(address, method, &path, &ada);

    let (kept, drifts) = (
        world.provision(&ada, provision_body("kept")).await,
        world.provision(&ada, provision_body("drifts")).await,
    );
    for asked in [&kept, &drifts] {
        assert_eq!(world.until_final(&ada, asked.job).await["state"], "succeeded");
        call("POST", format!("/jobs/{}/credential", asked.job)).send().await.assert_status(200);
        let github = world.twin.runner(&asked.name).unwrap().id;
        world.twin.set_runner(github, RunnerChange::online()).unwrap();
    }
    let refresh = call("POST", format!("/runners/{}/refresh", kept.runner)).send().await.assert_status(202);
    world.until_final(&ada, refresh.body["job_id"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(status_of(&world, kept.runner).await, "active");

    // A repeated refusal increases the count of its row; the event of a corrected drift is updated.
    for _ in 0..2 {
        let foreign = serde_json::json!({ "runner_name_prefix": "x", "labels": ["not-ours"] });
        call("POST", "/runners/jit".to_owned())
            .json(&foreign)
            .send()
            .await
            .refused(403, "label_policy_violation");
    }
    let github = world.twin.runner(&drifts.name).unwrap().id;
    let long_ago = "UPDATE runners SET registered_at = registered_at - interval '1 hour' WHERE id = $1";
    world.change(long_ago, drifts.runner).await;
    world.twin.set_runner(github, RunnerChange::labels(["production"])).unwrap();
    wait_until("the drifted runner is removed", || async {
        status_of(&world, drifts.runner).await == "deleted"
            && world.count("SELECT count(*) FROM security_events WHERE action_taken = 'removed'").await == 1
    })
    .await;
    let removal = call("DELETE", format!("/runners/{}", kept.runner)).send().await.assert_status(202);
    world.until_final(&ada, removal.body["job_id"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(status_of(&world, kept.runner).await, "deleted");

    // The scheduler requests a retention of eight days; the owner of the tables has set thirty.
    wait_until("old audit rows are removed", || async { rows_of(&world, "old.40").await == 0 }).await;
    assert_eq!(rows_of(&world, "old.10").await, 1);
    for part in [api, worker, scheduler] {
        part.stop().await;
    }
}

#[tokio::test]
async fn service_role_changes_neither_tables_nor_audit_rows() {
    let database = copy_of().await;
    let pool = service_pool(&database);
    sqlx::query("INSERT INTO audit_log (id, event_type, success) VALUES (gen_random_uuid(), 'x', true)")
        .execute(&pool)
        .await
        .unwrap();
    for sql in [
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "UPDATE audit_log SET event_type = 'y'",
        "UPDATE audit_log SET \"timestamp\" = now() - interval '1 year'",
        "DROP TABLE audit_log",
        "ALTER TABLE audit_log ADD COLUMN x text",
        "DELETE FROM security_events",
        "UPDATE security_events SET violation_data = NULL",
        "UPDATE audit_blocks SET newest = now()",
        "DELETE FROM audit_blocks",
        "DELETE FROM audit_checkpoints",
        "UPDATE audit_log SET transaction_id = '1'",
        "UPDATE audit_retention SET least_age = '0 s'",
        "DELETE FROM audit_retention",
        "DELETE FROM _sqlx_migrations",
        "CREATE TABLE mine (x int)",
        "DROP TABLE jobs",
        "DROP FUNCTION prune_audit_log(interval, bigint)",
    ] {
        refused(&pool, sql).await;
    }
    let pruned: i64 =
        sqlx::query_scalar("SELECT prune_audit_log('0 s', 1000)").fetch_one(&pool).await.unwrap();
    assert_eq!(pruned, 0, "rows younger than the owner's limit are kept");
    pool.close().await;
    database.remove().await;
}

#[tokio::test]
async fn table_of_a_later_migration_is_open_to_the_service_role() {
    let database = copy_of().await;
    sqlx::raw_sql("CREATE TABLE later (id bigserial, x text)").execute(&database.pool()).await.unwrap();
    let pool = service_pool(&database);
    for sql in ["INSERT INTO later (x) VALUES ('a')", "UPDATE later SET x = 'b'", "DELETE FROM later"] {
        sqlx::query(sql).execute(&pool).await.unwrap();
    }
    pool.close().await;
    database.remove().await;
}

#[tokio::test]
async fn api_with_the_service_role_refuses_older_tables_and_says_what_to_do() {
    let world = World::builder().workers(0).start().await;
    let newest = "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
    sqlx::query(newest).execute(world.sql()).await.unwrap();
    let said = world.command(&["api"], &[]).await.expect(3);
    assert!(said.stderr.contains("1 migrations from number"), "{}", said.stderr);
    assert!(said.stderr.contains("rts init-db"), "{}", said.stderr);
    let said = world.command(&["init-db"], &[]).await.expect(4);
    assert!(said.stderr.contains("owner of the tables"), "{}", said.stderr);
}

#[tokio::test]
async fn role_that_could_do_more_is_not_granted_anything() {
    let database = empty().await;
    let store = database.store(1);
    store.migrate().await.unwrap();
    for (role, problem) in [("rts_nobody", "there is no database role"), ("CURRENT", "may remove audit rows")]
    {
        let owner: String =
            sqlx::query_scalar("SELECT current_user::text").fetch_one(&database.pool()).await.unwrap();
        let role = if role == "CURRENT" { owner.as_str() } else { role };
        let error = store.grant_to(role).await.unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
    store.close().await;
    database.remove().await;
}
