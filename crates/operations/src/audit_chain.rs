//! Verification of the audit chains: blocks, rows and checkpoints are read side by side.

mod finding;
mod rows;

use chrono::{DateTime, NaiveDate, Utc};
use domain::{AuditChain, AuditPublicKeys, ChainHash, ChainHead, Checkpoint};
use store::{Store, StoredBlock, StoredCheckpoint};

pub use finding::{ChainFinding, MAX_FINDINGS};

use crate::Result;

/// Blocks read at a time, which bounds the memory used.
const BLOCKS_PER_READ: i64 = 20;

/// A chain to verify.
#[derive(Clone, Debug)]
pub struct ChainToVerify {
    /// The chain.
    pub chain: AuditChain,
    /// Keys whose signatures count. Without any, signatures are not checked.
    pub keys: AuditPublicKeys,
    /// A block that was noted elsewhere, with its hash.
    pub expected: Option<(i64, ChainHash)>,
}

/// Progress of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainProgress {
    /// Number of blocks that were verified.
    pub blocks: u64,
    /// Number of blocks at the beginning.
    pub all_blocks: u64,
}

/// Result of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainReport {
    /// The chain.
    pub chain: AuditChain,
    /// Number of rows that were compared with their hashes.
    pub rows: u64,
    /// Number of blocks.
    pub blocks: u64,
    /// Number of checkpoints with a valid signature.
    pub signed_days: u64,
    /// Day of the oldest rows; `None` if there are none.
    pub first_day: Option<NaiveDate>,
    /// The newest block.
    pub head: ChainHead,
    /// Time of the newest checkpoint.
    pub signed_at: Option<DateTime<Utc>>,
    /// Number of rows that are not chained yet, at most one more than a block has.
    pub waiting: u64,
    /// Differences, at most [`MAX_FINDINGS`].
    pub findings: Vec<ChainFinding>,
    /// Whether there are more differences.
    pub has_more_findings: bool,
}

/// Verifies a chain without locking anything. Rows and blocks that are removed for their age meanwhile are no findings.
///
/// # Errors
/// Returns errors of the database.
pub async fn verify_audit_chain(
    store: &Store,
    request: &ChainToVerify,
    mut progress: impl FnMut(ChainProgress),
) -> Result<ChainReport> {
    let mut walk = Walk::start(store, request).await?;
    let all_blocks = walk.count_blocks().await?;
    loop {
        let blocks = store
            .conn()
            .await?
            .audit_chains()
            .blocks(request.chain, walk.head.position, BLOCKS_PER_READ)
            .await?;
        if blocks.is_empty() {
            break;
        }
        for stored in &blocks {
            walk.verify_block(stored).await?;
        }
        progress(ChainProgress { blocks: walk.report.blocks, all_blocks });
    }
    walk.verify_end().await?;
    Ok(walk.report)
}

/// A verification on its way through a chain.
struct Walk<'v> {
    store: &'v Store,
    request: &'v ChainToVerify,
    /// Checkpoints with a valid signature, or all if there are no keys; newest first.
    checkpoints: Vec<Checkpoint>,
    base: ChainHead,
    /// The block that was verified last.
    head: ChainHead,
    /// Time of the newest row so far.
    newest: DateTime<Utc>,
    report: ChainReport,
}

impl<'v> Walk<'v> {
    /// Reads the checkpoints. The verification starts after the newest one's base.
    async fn start(store: &'v Store, request: &'v ChainToVerify) -> Result<Self> {
        let stored = store.conn().await?.audit_chains().all_checkpoints(request.chain).await?;
        let report = ChainReport {
            chain: request.chain,
            rows: 0,
            blocks: 0,
            signed_days: 0,
            first_day: None,
            head: ChainHead::EMPTY,
            signed_at: stored.first().map(|newest| newest.checkpoint.signed_at),
            waiting: 0,
            findings: Vec::new(),
            has_more_findings: false,
        };
        let head = ChainHead::EMPTY;
        let newest = DateTime::UNIX_EPOCH;
        let mut walk = Self { store, request, checkpoints: Vec::new(), base: head, head, newest, report };
        walk.verify_signatures(stored);
        walk.base = walk.checkpoints.first().map_or(ChainHead::EMPTY, |newest| newest.base);
        walk.head = walk.base;
        if let Some(newest) = walk.checkpoints.first().cloned() {
            let missing = newest.missing.clone();
            walk.add(
                missing.map(|one| ChainFinding::KeyMissing { key_id: one.key_id, position: one.position }),
            );
            walk.verify_pruned_rows(&newest).await?;
        }
        Ok(walk)
    }

    fn verify_signatures(&mut self, stored: Vec<StoredCheckpoint>) {
        let keys = &self.request.keys;
        let mut faults = Vec::new();
        for (nth, StoredCheckpoint { checkpoint, signature }) in stored.into_iter().enumerate() {
            let day = checkpoint.day();
            match signature {
                _ if keys.is_empty() => self.checkpoints.push(checkpoint),
                Some(signature) if keys.verify(&checkpoint, &signature) => {
                    self.report.signed_days += 1;
                    self.checkpoints.push(checkpoint);
                }
                Some(signature) if keys.knows(&signature.key_id) => {
                    faults.push(ChainFinding::CheckpointChanged { day });
                }
                // An older key may be gone, and the newest checkpoint covers the older ones.
                Some(signature) if nth == 0 => {
                    faults.push(ChainFinding::CheckpointOfUnknownKey { day, key_id: signature.key_id });
                }
                None if nth == 0 => faults.push(ChainFinding::CheckpointUnsigned { day }),
                _ => {}
            }
        }
        self.add(faults);
    }

    async fn count_blocks(&self) -> Result<u64> {
        let mut conn = self.store.conn().await?;
        let count = conn.audit_chains().count_blocks(self.request.chain, self.base.position).await?;
        Ok(count.unsigned_abs())
    }

    async fn verify_block(&mut self, stored: &StoredBlock) -> Result<()> {
        let (block, position) = (&stored.block, stored.block.position);
        let expected = self.head.position + 1;
        let is_next = position == expected;
        if !is_next {
            if self.was_pruned(position - 1).await? {
                self.head = block.head();
                return Ok(());
            }
            self.add([ChainFinding::BlocksRemoved { first: expected, last: position - 1 }]);
        }
        let hash = block.hash();
        if hash != stored.hash || is_next && block.previous != self.head.hash {
            self.add([ChainFinding::BlockChanged { position }]);
        }
        self.verify_points(position, hash);
        self.verify_rows(block, is_next).await?;
        self.report.blocks += 1;
        self.report.first_day = self.report.first_day.or(Some(block.day));
        self.newest = self.newest.max(block.newest);
        self.head = ChainHead { position, hash, last: block.last };
        Ok(())
    }

    /// Compares a block with the checkpoints and with the block that was noted elsewhere.
    fn verify_points(&mut self, position: i64, hash: ChainHash) {
        let signed = self.checkpoints.iter().filter(|one| one.head.position == position);
        let faults: Vec<_> = signed
            .filter(|one| one.head.hash != hash)
            .map(|one| ChainFinding::CheckpointDiffers { day: one.day(), position })
            .collect();
        self.add(faults);
        if self.request.expected.is_some_and(|(noted, noted_hash)| noted == position && noted_hash != hash) {
            self.add([ChainFinding::NotedBlockDiffers { position }]);
        }
    }

    /// Compares the end of the chain with the newest checkpoint, and looks at the rows behind it.
    async fn verify_end(&mut self) -> Result<()> {
        self.report.head = self.head;
        let position = self.head.position;
        let signed = self.checkpoints.iter().map(|one| one.head.position).max();
        match signed {
            Some(signed) if signed > position => {
                self.add([ChainFinding::BlocksRemoved { first: position + 1, last: signed }]);
            }
            // A block and its checkpoint are written together; a checkpoint that is read first may be older.
            _ if signed.unwrap_or(0) < position && !self.is_signed_now(position).await? => {
                self.add([ChainFinding::BlockUnsigned { position }]);
            }
            _ => {}
        }
        if let Some((noted, _)) = self.request.expected.filter(|(noted, _)| *noted > position) {
            self.add([ChainFinding::NotedBlockMissing { position: noted }]);
        }
        self.verify_rows_behind().await
    }

    async fn is_signed_now(&self, position: i64) -> Result<bool> {
        let newest = self.store.conn().await?.audit_chains().newest_checkpoint(self.request.chain).await?;
        let keys = &self.request.keys;
        Ok(newest.is_some_and(|StoredCheckpoint { checkpoint, signature }| {
            checkpoint.head.position >= position
                && (keys.is_empty() || signature.is_some_and(|one| keys.verify(&checkpoint, &one)))
        }))
    }

    /// Returns whether rows of this block may have been removed for their age since the verification began.
    async fn was_pruned(&self, position: i64) -> Result<bool> {
        let newest = self.store.conn().await?.audit_chains().newest_checkpoint(self.request.chain).await?;
        let keys = &self.request.keys;
        Ok(newest.is_some_and(|StoredCheckpoint { checkpoint, signature }| {
            checkpoint.base.position >= position
                && (keys.is_empty() || signature.is_some_and(|one| keys.verify(&checkpoint, &one)))
        }))
    }

    fn add(&mut self, findings: impl IntoIterator<Item = ChainFinding>) {
        for finding in findings {
            if self.report.findings.len() < MAX_FINDINGS {
                self.report.findings.push(finding);
            } else {
                self.report.has_more_findings = true;
            }
        }
    }
}
