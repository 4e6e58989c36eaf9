//! Writers that commit while rows are chained, and schedulers that die at any point.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use domain::AuditEntry;
use futures::future::join_all;
use scheduler::chain::{self, ChainMemory};
use store::Store;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{MAX_WAIT, Scene};

/// Number of tasks that write at the same time.
const WRITERS: u32 = 50;
/// Number of transactions of each writer.
const TRANSACTIONS: u32 = 80;
/// Number of writers of one transaction each that begin at the same time.
const CONCURRENT_WRITERS: u32 = 10_000;
/// Least number of schedulers that die.
const MIN_DEATHS: u32 = 10;

/// Writes one to four rows in a transaction; every seventh transaction is rolled back.
async fn write(store: &Store, nth: u32) -> u64 {
    let mut tx = store.begin().await.unwrap();
    let rows = nth % 4 + 1;
    for _ in 0..rows {
        tx.audit().write(&AuditEntry::service("writer.wrote")).await.unwrap();
    }
    if nth % 7 == 6 {
        return 0;
    }
    tx.commit().await.unwrap();
    u64::from(rows)
}

#[tokio::test]
async fn rows_of_concurrent_writers_are_chained_once_although_schedulers_die() {
    let scene = Scene::new().await;
    let store = scene.world.database().service_store(12);
    let (written, done) = (AtomicU64::new(0), AtomicU32::new(0));
    let writers = (0..WRITERS).map(|writer| {
        let (store, written, done) = (&store, &written, &done);
        async move {
            for nth in 0..TRANSACTIONS {
                written.fetch_add(write(store, writer + nth).await, Relaxed);
            }
            done.fetch_add(1, Relaxed);
        }
    });
    // Each scheduler is dropped after another number of microseconds, in the middle of whatever it does.
    let schedulers = async {
        let (mut deaths, mut steps) = (0_u32, 0_u32);
        while done.load(Relaxed) < WRITERS || deaths <= MIN_DEATHS {
            let life = Duration::from_micros(u64::from(steps * 7919 % 40_000));
            steps += 1;
            let step = chain::run(scene.parts(), ChainMemory::default());
            if tokio::time::timeout(life, step).await.is_err() {
                deaths += 1;
            }
        }
        deaths
    };
    let (_, deaths) = tokio::join!(join_all(writers), schedulers);
    assert!(deaths > MIN_DEATHS, "{deaths}");
    store.close().await;
    scene.chain_all().await;
    let report = scene.verify().await;
    assert_eq!((report.findings.as_slice(), report.rows), (&[][..], written.load(Relaxed)));
    assert_eq!(report.waiting, 0);

    let chained: Vec<Uuid> =
        sqlx::query_scalar("SELECT unnest(row_ids) FROM audit_blocks WHERE chain = 'audit_log'")
            .fetch_all(scene.world.sql())
            .await
            .unwrap();
    assert_eq!(chained.iter().collect::<BTreeSet<_>>().len(), chained.len(), "each row is chained once");
    let positions = "SELECT count(*) FROM audit_blocks WHERE chain = 'audit_log' AND position > (
        SELECT count(*) FROM audit_blocks WHERE chain = 'audit_log')";
    assert_eq!(scene.world.count(positions).await, 0, "positions have no gaps");
}

#[tokio::test]
async fn rows_behind_an_open_transaction_wait_for_it() {
    let scene = Scene::new().await;
    let mut early = scene.world.store().begin().await.unwrap();
    early.audit().write(&AuditEntry::service("early")).await.unwrap();
    scene.write("late", 2).await;
    chain::run(scene.parts(), scene.memory.clone()).await.unwrap();
    let blocks = "SELECT count(*) FROM audit_blocks WHERE chain = 'audit_log'";
    assert_eq!(scene.world.count(blocks).await, 0);
    early.commit().await.unwrap();
    scene.chain_all().await;
    let first = "SELECT event_type FROM audit_blocks JOIN audit_log ON audit_log.id = row_ids[1]
        WHERE chain = 'audit_log' AND position = 1";
    let first: String = sqlx::query_scalar(first).fetch_one(scene.world.sql()).await.unwrap();
    let report = scene.verify().await;
    assert_eq!((first.as_str(), report.findings.len(), report.rows), ("early", 0, 3));
}

#[tokio::test]
async fn schedulers_that_lead_at_the_same_time_write_one_chain() {
    let scene = Scene::new().await;
    scene.write("first", 50).await;
    let step = || chain::run(scene.parts(), ChainMemory::default());
    for _ in 0..5 {
        scene.write("more", 3).await;
        // A block that another scheduler has appended first is an error of this step only.
        let _ = tokio::join!(step(), step(), step());
    }
    scene.chain_all().await;
    let report = scene.verify().await;
    assert_eq!((report.findings.as_slice(), report.rows), (&[][..], 65));
}

#[tokio::test]
async fn rows_of_ten_thousand_writers_are_chained_although_schedulers_are_killed() {
    let scene = Scene::new().await;
    let store = scene.world.database().service_store(12);
    // A writer waits here for its connection, because the pool's own wait ends after three seconds.
    let (turns, written) = (Semaphore::new(12), AtomicU64::new(0));
    let writers = (0..CONCURRENT_WRITERS).map(|nth| {
        let (store, turns, written) = (&store, &turns, &written);
        async move {
            let _turn = turns.acquire().await.unwrap();
            written.fetch_add(write(store, nth).await, Relaxed);
        }
    });
    let chained =
        "SELECT coalesce(sum(cardinality(row_ids)), 0)::int8 FROM audit_blocks WHERE chain = 'audit_log'";
    // The first scheduler dies while the writers are at work, the second one goes on with its chain.
    let kills = async {
        for rows in [1_000, 10_000] {
            let scheduler = scene.world.program("scheduler", &[]);
            harness::eventually_within(MAX_WAIT, "rows are chained", || async {
                (scene.world.count(chained).await >= rows).then_some(())
            })
            .await;
            scheduler.kill();
        }
    };
    tokio::join!(join_all(writers), kills);
    store.close().await;
    scene.chain_all().await;
    let report = scene.verify().await;
    assert_eq!((report.findings.as_slice(), report.rows), (&[][..], written.load(Relaxed)));
    assert_eq!(report.waiting, 0);
}
