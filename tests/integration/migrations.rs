//! Migrations on an empty database, on an older one, and repeated.

use std::{path::Path, time::Duration};

use harness::{Database, copy_of, empty};
use sqlx::{AssertSqlSafe, Connection, PgConnection, migrate::Migrate};
use store::{Schema, StoreError};

/// Table in which sqlx records applied migrations.
const TABLE: &str = "_sqlx_migrations";

#[tokio::test]
async fn empty_database_is_migrated_once() {
    let database = empty().await;
    let store = database.store(2);
    store.migrate().await.unwrap();
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    let count = || sqlx::query_scalar::<_, i64>(tables);
    let pool = database.pool();
    let made = count().fetch_one(&pool).await.unwrap();
    assert!(made > 10, "{made}");
    store.migrate().await.unwrap();
    assert_eq!(count().fetch_one(&pool).await.unwrap(), made);
    database.remove().await;
}

#[tokio::test]
async fn processes_that_start_together_do_not_disturb_each_other() {
    let database = empty().await;
    let (a, b, c) = (database.store(2), database.store(2), database.store(2));
    let (a, b, c) = tokio::join!(a.migrate(), b.migrate(), c.migrate());
    a.and(b).and(c).unwrap();
    let steps: i64 = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations WHERE success")
        .fetch_one(&database.pool())
        .await
        .unwrap();
    assert_eq!(usize::try_from(steps).unwrap(), store::MIGRATIONS.iter().count());
    database.remove().await;
}

#[tokio::test]
async fn copied_databases_are_migrated() {
    let database = copy_of().await;
    database.store(1).migrate().await.unwrap();
    database.remove().await;
}

/// Returns a database as an earlier release left it: only the migrations before `version`.
async fn older_than(version: i64) -> Database {
    let database = empty().await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    connection.ensure_migrations_table(TABLE).await.unwrap();
    for step in store::MIGRATIONS.iter().filter(|step| step.version < version) {
        if !step.no_tx {
            connection.apply(TABLE, step).await.unwrap();
            continue;
        }
        for statement in
            step.sql.as_str().split(";\n").filter(|part| part.contains("CREATE") || part.contains("ALTER"))
        {
            sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
        }
        connection.skip(TABLE, step).await.unwrap();
    }
    connection.close().await.unwrap();
    database
}

#[tokio::test]
async fn rows_of_earlier_releases_are_unchanged() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/migrations");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let version = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        assert!(store::MIGRATIONS.iter().any(|step| step.version == version), "{version}");
        let (rows, afterwards) = text.split_once("-- afterwards\n").expect("rows, and what holds afterwards");
        let database = older_than(version).await;
        let pool = database.pool();
        sqlx::raw_sql(AssertSqlSafe(rows.to_owned())).execute(&pool).await.unwrap();
        database.store(1).migrate().await.unwrap();
        let holds = sqlx::query_scalar::<_, bool>(AssertSqlSafe(afterwards.to_owned()));
        assert!(holds.fetch_one(&pool).await.unwrap(), "{}", path.display());
        database.remove().await;
        seen += 1;
    }
    assert!(seen >= 8, "{seen}");
}

#[tokio::test]
async fn migration_that_gets_no_lock_in_time_says_so_and_changes_nothing() {
    let database = older_than(11).await;
    let mut reader = PgConnection::connect(database.url()).await.unwrap();
    let mut long = reader.begin().await.unwrap();
    sqlx::query("LOCK TABLE audit_log IN ACCESS SHARE MODE").execute(&mut *long).await.unwrap();
    let store = database.store(1);
    let error = store.migrate_within(Duration::from_millis(400)).await.unwrap_err();
    assert!(matches!(error, StoreError::MigrationBlocked { version: 11, .. }), "{error:?}");
    assert!(error.to_string().contains("pg_stat_activity"), "{error}");
    assert!(matches!(store.schema().await.unwrap(), Schema::Older { first: 11, .. }));
    long.rollback().await.unwrap();
    store.migrate().await.unwrap();
    assert_eq!(store.schema().await.unwrap(), Schema::Ready);
    database.remove().await;
}

#[tokio::test]
async fn index_of_an_interrupted_build_is_rebuilt() {
    let database = older_than(12).await;
    let pool = database.pool();
    let entries = "INSERT INTO audit_log (id, event_type, success, repeat_key)
        SELECT gen_random_uuid(), 'jit.refused', false, 'same' FROM generate_series(1, 2)";
    sqlx::query(entries).execute(&pool).await.unwrap();
    // Two equal keys make the index build fail half-way, as a lost connection would.
    let build = "CREATE UNIQUE INDEX CONCURRENTLY audit_log_repeat ON audit_log (repeat_key) WHERE repeat_key IS NOT NULL";
    sqlx::query(build).execute(&pool).await.unwrap_err();
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'audit_log_repeat'::regclass";
    let valid = || sqlx::query_scalar::<_, bool>(valid).fetch_one(&pool);
    assert!(!valid().await.unwrap(), "the index exists and is invalid");
    sqlx::query("DELETE FROM audit_log WHERE id = (SELECT min(id::text)::uuid FROM audit_log)")
        .execute(&pool)
        .await
        .unwrap();
    database.store(1).migrate().await.unwrap();
    assert!(valid().await.unwrap());
    database.remove().await;
}
