//! Hash chains of the audit log and the security events: their writers, their retention, and rows changed behind the
//! service's back.

mod commands;
mod signatures;
mod tampering;
mod writers;

use std::time::Duration;

use chrono::TimeDelta;
use domain::{AuditChain, AuditEntry, AuditPublicKeys};
use harness::World;
use operations::{ChainReport, ChainToVerify, verify_audit_chain};
use scheduler::{
    Parts,
    chain::{self, ChainMemory},
};

/// A database with a chained audit log, without processes that write to it.
struct Scene {
    world: World,
    memory: ChainMemory,
}

impl Scene {
    async fn new() -> Self {
        Self { world: World::builder().workers(0).start().await, memory: ChainMemory::default() }
    }

    fn parts(&self) -> Parts {
        self.world.scheduler_parts()
    }

    fn keys(&self) -> AuditPublicKeys {
        self.parts().audit_keys.unwrap().public_keys()
    }

    /// Writes rows of one type, each in a transaction of its own.
    async fn write(&self, event_type: &'static str, rows: usize) {
        for _ in 0..rows {
            let entry = AuditEntry::service(event_type);
            self.world.store().conn().await.unwrap().audit().write(&entry).await.unwrap();
        }
    }

    /// Runs the step until every row is chained. Transactions of other databases on the server delay it.
    async fn chain_all(&self) {
        chain_all(&self.world, &self.parts(), &self.memory).await;
    }

    async fn verify(&self) -> ChainReport {
        self.verify_with(self.keys(), None).await
    }

    async fn verify_with(
        &self,
        keys: AuditPublicKeys,
        expected: Option<(i64, domain::ChainHash)>,
    ) -> ChainReport {
        let request = ChainToVerify { chain: AuditChain::AuditLog, keys, expected };
        verify_audit_chain(self.world.store(), &request, |_| {}).await.unwrap()
    }

    async fn sql(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(self.world.sql()).await.unwrap();
    }
}

/// Runs the step until every audit row and security event of a world is chained.
pub(crate) async fn chain_all(world: &World, parts: &Parts, memory: &ChainMemory) {
    let waiting = "SELECT (SELECT count(*) FROM audit_log WHERE (transaction_id, id) > (
            SELECT head_transaction, head_id FROM audit_checkpoints WHERE chain = 'audit_log'
            UNION ALL SELECT '0', '00000000-0000-0000-0000-000000000000' ORDER BY 1 DESC, 2 DESC LIMIT 1))
        + (SELECT count(*) FROM security_events WHERE (transaction_id, id) > (
            SELECT head_transaction, head_id FROM audit_checkpoints WHERE chain = 'security_events'
            UNION ALL SELECT '0', '00000000-0000-0000-0000-000000000000' ORDER BY 1 DESC, 2 DESC LIMIT 1))";
    let running = "SELECT count(*) FROM (SELECT transaction_id FROM audit_log UNION ALL
            SELECT transaction_id FROM security_events) rows, audit_retention
        WHERE transaction_id::text::bigint
            >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint + transaction_offset";
    harness::wait_until("no row's transaction runs", || async { world.count(running).await == 0 }).await;
    harness::wait_until("every row is chained", || async {
        chain::run(parts.clone(), memory.clone()).await.unwrap();
        world.count(waiting).await == 0
    })
    .await;
}

#[tokio::test]
async fn rows_of_earlier_releases_are_chained_first() {
    let scene = Scene::new().await;
    scene
        .sql(
            "INSERT INTO audit_log (id, event_type, success, transaction_id)
            SELECT gen_random_uuid(), 'old', true, '0' FROM generate_series(1, 2500)",
        )
        .await;
    scene.write("new", 3).await;
    scene.chain_all().await;
    let report = scene.verify().await;
    assert_eq!((report.findings.as_slice(), report.rows), (&[][..], 2503));
    assert!(report.blocks >= 3, "{report:?}");
}

#[tokio::test]
async fn rows_after_a_restore_continue_above_the_chained_ones() {
    let scene = Scene::new().await;
    // The server that wrote these rows had counted further than this one.
    scene
        .sql(
            "INSERT INTO audit_log (id, event_type, success, transaction_id)
            SELECT gen_random_uuid(), 'restored', true, '900000000000' FROM generate_series(1, 5);
            UPDATE audit_retention SET transaction_offset = 900000000001",
        )
        .await;
    scene.chain_all().await;
    scene.sql("UPDATE audit_retention SET transaction_offset = 0").await;
    scene.world.database().store(1).migrate().await.unwrap();
    scene.write("new", 5).await;
    scene.chain_all().await;
    let report = scene.verify().await;
    assert_eq!((report.findings.as_slice(), report.rows, report.waiting), (&[][..], 10, 0));
    let offset = "SELECT transaction_offset FROM audit_retention";
    assert_eq!(scene.world.count(offset).await, 900_000_000_001);
    scene.world.database().store(1).migrate().await.unwrap();
    assert_eq!(scene.world.count(offset).await, 900_000_000_001, "once");
}

#[tokio::test]
async fn counting_rows_are_chained_once_they_are_final() {
    let scene = Scene::new().await;
    let key = store::RepeatKey::new("eve", &["job"]);
    let entry = AuditEntry { error: Some("no".to_owned()), ..AuditEntry::service("job.cancel") };
    for _ in 0..3 {
        let mut conn = scene.world.store().conn().await.unwrap();
        conn.audit().write_or_count(&entry, &key).await.unwrap();
    }
    scene.write("later", 1).await;
    chain::run(scene.parts(), scene.memory.clone()).await.unwrap();
    assert_eq!(scene.world.count("SELECT count(*) FROM audit_blocks WHERE chain = 'audit_log'").await, 0);
    scene.sql("UPDATE audit_log SET \"timestamp\" = \"timestamp\" - interval '4 minutes'").await;
    scene.chain_all().await;
    // A minute may end in between.
    let report = scene.verify().await;
    assert!(report.findings.is_empty() && (2..=4).contains(&report.rows), "{report:?}");

    scene.sql("UPDATE audit_log SET occurrences = 9 WHERE event_type = 'job.cancel'").await;
    assert_eq!(scene.verify().await.findings[0].code(), "row_edited");
}

#[tokio::test]
async fn pruned_days_leave_checkpoints_that_still_verify() {
    let scene = Scene::new().await;
    scene.write("old", 30).await;
    scene
        .sql(
            "UPDATE audit_log SET \"timestamp\" = \"timestamp\" - interval '20 days',
            id = overlay(id::text placing '01800000-0000' from 1 for 13)::uuid",
        )
        .await;
    scene.chain_all().await;
    scene.sql("UPDATE audit_checkpoints SET day = day - 1").await;
    scene.write("new", 10).await;
    scene.chain_all().await;
    let (before, blocks) =
        (scene.verify().await, "SELECT count(*) FROM audit_blocks WHERE chain = 'audit_log'");
    assert_eq!((before.findings.len(), before.rows), (0, 40));

    let keep = scheduler::Retention { audit: Some(TimeDelta::days(10)), ..scheduler::Retention::default() };
    let parts = scene.parts();
    let parts = Parts { sync: scheduler::SyncSettings { retention: keep, ..parts.sync }, ..parts };
    chain::run(parts.clone(), scene.memory.clone()).await.unwrap();
    assert_eq!(scheduler::prune::run(parts).await.unwrap(), 30);
    let report = scene.verify().await;
    assert_eq!((report.findings.len(), report.rows, report.signed_days), (0, 10, 2), "{report:?}");
    assert_eq!(report.first_day, Some(chrono::Utc::now().date_naive()));
    assert_eq!(scene.world.count(blocks).await.unsigned_abs(), report.blocks);

    // A row that claims to be as old as the removed ones, and one that stands among them.
    scene
        .sql(
            "INSERT INTO audit_log (id, event_type, success, transaction_id)
            VALUES ('01800000-0000-7000-8000-000000000000', 'forged', true, '0')",
        )
        .await;
    assert_eq!(scene.verify().await.findings[0].code(), "row_inserted");
    scene.sql("DELETE FROM audit_log WHERE event_type = 'forged'").await;
    scene.sql("DELETE FROM audit_log WHERE event_type = 'new' AND id = (SELECT max(id::text)::uuid FROM audit_log)").await;
    assert_eq!(scene.verify().await.findings[0].code(), "row_removed");
}

#[tokio::test]
async fn nothing_is_pruned_that_is_not_chained() {
    let scene = Scene::new().await;
    scene.write("old", 5).await;
    scene
        .sql(
            "UPDATE audit_log SET \"timestamp\" = \"timestamp\" - interval '20 days',
            id = overlay(id::text placing '01800000-0000' from 1 for 13)::uuid",
        )
        .await;
    let keep = scheduler::Retention { audit: Some(TimeDelta::days(10)), ..scheduler::Retention::default() };
    let parts = scene.parts();
    let parts = Parts { sync: scheduler::SyncSettings { retention: keep, ..parts.sync }, ..parts };
    assert_eq!(scheduler::prune::run(parts).await.unwrap(), 0);
    assert_eq!(scene.world.count("SELECT count(*) FROM audit_log").await, 5);
}

/// Longest time that a test waits for a transaction to be seen.
const MAX_WAIT: Duration = Duration::from_mins(2);

/// Columns of both tables that a hash covers.
const CHAINED_COLUMNS: [&str; 11] = [
    "id",
    "transaction_id",
    "timestamp",
    "event_type",
    "user_identity",
    "runner_id",
    "runner_name",
    "team_id",
    "occurrences",
    "last_at",
    "repeat_key",
];
/// Columns of the audit log that a hash covers.
const CHAINED_AUDIT_COLUMNS: [&str; 10] = [
    "user_id",
    "oidc_sub",
    "client_id",
    "job_id",
    "request_ip",
    "user_agent",
    "request_id",
    "event_data",
    "success",
    "error_message",
];
/// Columns of the security events that a hash covers.
const CHAINED_SECURITY_COLUMNS: [&str; 2] = ["severity", "violation_data"];
/// Columns of the security events that change later.
const CHANGING_SECURITY_COLUMNS: [&str; 4] =
    ["action_taken", "acknowledged_at", "acknowledged_by", "acknowledgement"];

#[tokio::test]
async fn every_column_is_chained_or_known_to_change() {
    let scene = Scene::new().await;
    for (table, own, changing) in [
        ("audit_log", &CHAINED_AUDIT_COLUMNS[..], &[][..]),
        ("security_events", &CHAINED_SECURITY_COLUMNS[..], &CHANGING_SECURITY_COLUMNS[..]),
    ] {
        let columns = "SELECT column_name::text FROM information_schema.columns WHERE table_name = $1";
        let columns: Vec<String> =
            sqlx::query_scalar(columns).bind(table).fetch_all(scene.world.sql()).await.unwrap();
        let known = [&CHAINED_COLUMNS[..], own, changing].concat();
        let new: Vec<&String> = columns.iter().filter(|column| !known.contains(&column.as_str())).collect();
        assert!(
            new.is_empty(),
            "add {new:?} of {table} to crates/store/src/audit_chain_rows.rs, or to these lists"
        );
    }
}
