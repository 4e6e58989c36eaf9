//! Rows, blocks and checkpoints that the owner of the tables changes.

use chrono::{TimeDelta, Utc};
use operations::ChainFinding;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::Scene;

/// Keeps the tables as they are.
const SAVE: &str = "DROP TABLE IF EXISTS saved_log, saved_blocks, saved_checkpoints;
    CREATE TABLE saved_log AS SELECT * FROM audit_log; CREATE TABLE saved_blocks AS SELECT * FROM audit_blocks;
    CREATE TABLE saved_checkpoints AS SELECT * FROM audit_checkpoints;";
/// Sets the tables back.
const RESTORE: &str = "DELETE FROM audit_log; INSERT INTO audit_log SELECT * FROM saved_log;
    DELETE FROM audit_blocks; INSERT INTO audit_blocks SELECT * FROM saved_blocks;
    DELETE FROM audit_checkpoints; INSERT INTO audit_checkpoints SELECT * FROM saved_checkpoints;";

/// A chain of three blocks of ten rows, and one row in the middle of it.
struct Chained {
    scene: Scene,
    victim: Uuid,
}

impl Chained {
    async fn new() -> Self {
        let scene = Box::pin(Scene::new()).await;
        for event_type in ["first", "second", "third"] {
            scene.write(event_type, 10).await;
            Box::pin(scene.chain_all()).await;
        }
        let victim = "SELECT row_ids[5] FROM audit_blocks WHERE chain = 'audit_log' AND row_ids[5] IN (
            SELECT id FROM audit_log WHERE event_type = 'second')";
        let victim = sqlx::query_scalar(victim).fetch_one(scene.world.sql()).await.unwrap();
        assert_eq!(Box::pin(scene.verify()).await.findings, []);
        Self { scene, victim }
    }

    /// Returns the findings after `sql`, with `$victim` in it. Everything is restored.
    async fn findings_after(&self, sql: &str) -> Vec<ChainFinding> {
        let sql = sql.replace("$victim", &format!("'{}'", self.victim));
        self.scene.sql(SAVE).await;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.scene.world.sql()).await.unwrap();
        let findings = self.scene.verify().await.findings;
        self.scene.sql(RESTORE).await;
        assert_eq!(self.scene.verify().await.findings, []);
        findings
    }

    /// Checks that `sql` is found as the one difference `code` about the row.
    async fn row_is_named(&self, sql: &str, code: &str) {
        let findings = self.findings_after(sql).await;
        let found: Vec<_> = findings.iter().map(|finding| (finding.code(), finding.row())).collect();
        assert_eq!(found, [(code, Some(self.victim))], "{sql}");
    }
}

#[tokio::test]
async fn removed_and_edited_rows_are_named() {
    let chained = Chained::new().await;
    chained.row_is_named("DELETE FROM audit_log WHERE id = $victim", "row_removed").await;
    for change in [
        "event_type = 'other'",
        "user_identity = 'eve@example.com'",
        "success = false",
        "event_data = '{}'",
        "\"timestamp\" = \"timestamp\" - interval '1 microsecond'",
        "request_ip = ''",
        "team_id = gen_random_uuid()",
    ] {
        chained
            .row_is_named(&format!("UPDATE audit_log SET {change} WHERE id = $victim"), "row_edited")
            .await;
    }
}

#[tokio::test]
async fn inserted_and_moved_rows_are_named() {
    let chained = Chained::new().await;
    let copy = "INSERT INTO audit_log (id, event_type, success, \"timestamp\", transaction_id)
        SELECT '01900000-0000-7000-8000-000000000001', 'forged', true, \"timestamp\", transaction_id
        FROM audit_log WHERE id = $victim";
    let forged: Uuid = "01900000-0000-7000-8000-000000000001".parse().unwrap();
    let findings = chained.findings_after(copy).await;
    let found: Vec<_> = findings.iter().map(|finding| (finding.code(), finding.row())).collect();
    assert_eq!(found, [("row_inserted", Some(forged))]);

    let later = "UPDATE audit_log SET transaction_id = '9000000000000000' WHERE id = $victim";
    let findings = chained.findings_after(later).await;
    let found: Vec<_> = findings.iter().map(|finding| (finding.code(), finding.row())).collect();
    assert_eq!(found, [("row_removed", Some(chained.victim)), ("row_inserted", Some(chained.victim))]);
}

#[tokio::test]
async fn row_that_was_dated_back_is_named() {
    let scene = Scene::new().await;
    scene.write("first", 3).await;
    scene.chain_all().await;
    let id = Uuid::now_v7();
    let long_ago = Utc::now() - TimeDelta::days(40);
    let forged =
        "INSERT INTO audit_log (id, event_type, success, \"timestamp\") VALUES ($1, 'forged', true, $2)";
    sqlx::query(forged).bind(id).bind(long_ago).execute(scene.world.sql()).await.unwrap();
    scene.chain_all().await;
    let findings = scene.verify().await.findings;
    assert_eq!((findings.len(), findings[0].code(), findings[0].row()), (1, "row_dated_back", Some(id)));
}

#[tokio::test]
async fn removed_and_changed_blocks_are_named() {
    let chained = Chained::new().await;
    let codes = |findings: Vec<ChainFinding>| -> Vec<_> {
        findings.iter().map(|finding| (finding.code(), finding.row())).collect()
    };
    let middle = "DELETE FROM audit_blocks WHERE chain = 'audit_log' AND position = 2";
    assert_eq!(codes(chained.findings_after(middle).await), [("blocks_removed", None)]);
    let last = "DELETE FROM audit_blocks WHERE chain = 'audit_log' AND position = (
        SELECT max(position) FROM audit_blocks WHERE chain = 'audit_log')";
    assert_eq!(codes(chained.findings_after(last).await), [("blocks_removed", None)]);
    // The row and its place in the block are removed together.
    let cut = "DELETE FROM audit_log WHERE id = $victim;
        UPDATE audit_blocks SET row_ids = row_ids[1:4] || row_ids[6:],
            row_hashes = overlay(row_hashes placing '' from 129 for 32)
        WHERE chain = 'audit_log' AND $victim = ANY(row_ids)";
    let found = codes(chained.findings_after(cut).await);
    assert!(found.contains(&("block_changed", None)), "{found:?}");
    let hash = "UPDATE audit_blocks SET hash = sha256(hash) WHERE chain = 'audit_log' AND position = 1";
    assert!(codes(chained.findings_after(hash).await).contains(&("block_changed", None)));
}

#[tokio::test]
async fn tail_that_was_cut_off_is_found() {
    let chained = Chained::new().await;
    let tail = "DELETE FROM audit_log WHERE event_type = 'third'; DELETE FROM audit_blocks WHERE chain = 'audit_log'
        AND position > (SELECT position FROM audit_blocks WHERE chain = 'audit_log' AND $victim = ANY(row_ids))";
    let findings = chained.findings_after(tail).await;
    assert_eq!(findings.iter().map(ChainFinding::code).collect::<Vec<_>>(), ["blocks_removed"]);
}

#[tokio::test]
async fn older_state_of_all_tables_is_found_by_a_noted_head_and_by_the_scheduler() {
    let scene = Scene::new().await;
    scene.write("first", 5).await;
    scene.chain_all().await;
    scene.sql(SAVE).await;
    scene.write("second", 5).await;
    scene.chain_all().await;
    let head = scene.verify().await.head;
    scene.sql(RESTORE).await;
    assert_eq!(scene.verify().await.findings, [], "the older state was signed as well");

    let report = scene.verify_with(scene.keys(), Some((head.position, head.hash))).await;
    assert_eq!(report.findings, [ChainFinding::NotedBlockMissing { position: head.position }]);
    scheduler::chain::run(scene.parts(), scene.memory.clone()).await.unwrap();
    let events = "SELECT count(*) FROM security_events WHERE event_type = 'audit_chain_broken'
        AND violation_data ->> 'fault' = 'chain_shorter_than_before'";
    assert_eq!(scene.world.count(events).await, 1);

    scene.write("third", 5).await;
    scene.chain_all().await;
    let report = scene.verify_with(scene.keys(), Some((head.position, head.hash))).await;
    assert_eq!(report.findings, [ChainFinding::NotedBlockDiffers { position: head.position }]);
}
