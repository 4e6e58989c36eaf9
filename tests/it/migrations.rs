//! The tables come to be from nothing, and stay when asked for again.

use harness::{Database, copy_of, empty};

#[tokio::test]
async fn an_empty_database_is_brought_up_to_date_and_stays_so() {
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
async fn the_copies_of_the_template_are_up_to_date() {
    let database = copy_of().await;
    database.store(1).migrate().await.unwrap();
    database.remove().await;
}

/// A database as an earlier release left it: only with the migrations before `version`.
async fn older_than(version: i64) -> Database {
    let database = empty().await;
    let older = store::MIGRATIONS.iter().filter(|step| step.version < version).cloned().collect();
    sqlx::migrate::Migrator::with_migrations(older).run(&database.pool()).await.unwrap();
    database
}

#[tokio::test]
async fn invitations_and_rules_of_an_earlier_release_stay() {
    let database = older_than(11).await;
    let pool = database.pool();
    sqlx::raw_sql(
        "INSERT INTO users (id, email, created_at) VALUES (gen_random_uuid(), 'ada@example.com', now() - interval '1 year');
         INSERT INTO users (id, email, issuer, subject) VALUES (gen_random_uuid(), 'bob@example.com', 'https://idp', 'bob');
         INSERT INTO teams (id, name) VALUES ('00000000-0000-0000-0000-000000000001', 'red');
         INSERT INTO oauth_clients (id, client_id, issuer, team_id, rule)
            SELECT gen_random_uuid(), 'c' || n, 'https://ci', '00000000-0000-0000-0000-000000000001',
                jsonb_build_object('subject', repeat('x', n * 30) || ':*', 'claims', jsonb_build_object('ref', repeat('y', n * 300)))
            FROM generate_series(1, 8) n",
    )
    .execute(&pool)
    .await
    .unwrap();
    database.store(1).migrate().await.unwrap();
    let invited: Vec<(String, bool)> = sqlx::query_as(
        "SELECT email, invited_at > now() - interval '1 hour' IS TRUE FROM users ORDER BY email",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(invited, [("ada@example.com".to_owned(), true), ("bob@example.com".to_owned(), false)]);
    let rules: i64 =
        sqlx::query_scalar("SELECT count(*) FROM oauth_clients WHERE claim_rule_key(rule) IS NOT NULL")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(rules, 8);
    database.remove().await;
}
