//! Comparison of rows with their blocks.

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;
use domain::{AuditBlock, ChainHash, ChainPlace, ChainRow, Checkpoint, MAX_BLOCK_ROWS};
use store::ChainRange;
use uuid::Uuid;

use super::{ChainFinding, MAX_FINDINGS, Walk};
use crate::Result;

/// Rows read at a time: one more than a block has, so that most blocks take one read.
const ROWS_PER_READ: usize = MAX_BLOCK_ROWS + 1;
/// Age of a row, compared with the rows before it, from which it counts as dated back. The time of a row is the beginning
/// of its transaction.
const MAX_DISORDER: TimeDelta = TimeDelta::hours(24);

impl Walk<'_> {
    /// Compares the rows of a block with its hashes. `knows_start` says whether the block before was read: otherwise
    /// rows that are not in the block may belong to a removed one.
    pub(super) async fn verify_rows(&mut self, block: &AuditBlock, knows_start: bool) -> Result<()> {
        let (position, day) = (block.position, block.day);
        let expected: HashMap<Uuid, ChainHash> = block.rows.iter().copied().collect();
        let mut seen = HashSet::new();
        let mut findings = Vec::new();
        let mut after = self.head.last;
        loop {
            let rows = self.read(after, block.last).await?;
            for row in &rows {
                let (id, time) = (row.place.id, row.timestamp);
                match expected.get(&id) {
                    Some(hash) => {
                        seen.insert(id);
                        if row.hash() != *hash {
                            findings.push(ChainFinding::RowEdited { id, position, day });
                        } else if row.place.transaction > 0 && time < self.newest - MAX_DISORDER {
                            findings.push(ChainFinding::RowDatedBack { id, time, position });
                        }
                    }
                    None if knows_start && findings.len() <= MAX_FINDINGS => {
                        findings.push(ChainFinding::RowInserted { id, time });
                    }
                    None => {}
                }
            }
            match rows.last() {
                Some(last) if rows.len() == ROWS_PER_READ => after = last.place,
                _ => break,
            }
        }
        let removed = block.rows.iter().filter(|(id, _)| !seen.contains(id));
        findings.extend(removed.map(|(id, _)| ChainFinding::RowRemoved { id: *id, position, day }));
        self.report.rows += u64::try_from(seen.len()).unwrap_or(u64::MAX);
        if findings.is_empty() || self.was_pruned(position).await? {
            return Ok(());
        }
        self.add(findings);
        Ok(())
    }

    async fn read(&self, after: ChainPlace, through: ChainPlace) -> Result<Vec<ChainRow>> {
        let mut conn = self.store.conn().await?;
        let range = ChainRange { after, through };
        Ok(conn.audit_chains().rows(self.request.chain, range, ROWS_PER_READ).await?)
    }

    /// Finds rows that stand among those removed for their age, but are younger.
    pub(super) async fn verify_pruned_rows(&mut self, newest: &Checkpoint) -> Result<()> {
        let mut after = ChainPlace::START;
        loop {
            let rows = self.read(after, newest.base.last).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.place;
            let young = rows.iter().filter(|row| row.timestamp > newest.base_newest);
            let inserted =
                |row: &ChainRow| ChainFinding::RowInserted { id: row.place.id, time: row.timestamp };
            let findings: Vec<_> = young.map(inserted).collect();
            self.add(findings);
        }
    }

    /// Counts the rows after the last block, and finds those of transactions that have not begun.
    pub(super) async fn verify_rows_behind(&mut self) -> Result<()> {
        let end = ChainPlace { transaction: i64::MAX, id: Uuid::max() };
        let waiting = self.read(self.head.last, end).await?;
        self.report.waiting = u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        let future = self.read(ChainPlace::below(self.next_transaction().await?), end).await?;
        // Rows may have been committed since; their transactions are no longer to come.
        let next = self.next_transaction().await?;
        let forged = future.iter().filter(|row| row.place.transaction >= next);
        let findings: Vec<_> =
            forged.map(|row| ChainFinding::RowInserted { id: row.place.id, time: row.timestamp }).collect();
        self.add(findings);
        Ok(())
    }

    async fn next_transaction(&self) -> Result<i64> {
        Ok(self.store.conn().await?.audit_chains().running().await?.next)
    }
}
