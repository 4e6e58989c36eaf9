//! The tables come to be from nothing, and stay when asked for again.

use harness::{copy_of, empty};

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
