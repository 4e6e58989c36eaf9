//! Blocks and checkpoints of the audit chains, and the rows they cover.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use domain::{
    AuditBlock, AuditChain, ChainHash, ChainHead, ChainPlace, Checkpoint, CheckpointSignature, MissingKey,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Result, StoreError, jobs::seconds};

/// Most checkpoints of a chain that are read: one a day for more than a hundred years.
const MAX_CHECKPOINTS: i64 = 40_000;

/// Queries of the audit chains on one connection.
#[derive(Debug)]
pub struct AuditChains<'c>(pub(crate) &'c mut PgConnection);

/// A checkpoint as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Its signature, if the scheduler had a key.
    pub signature: Option<CheckpointSignature>,
}

/// A block as stored, with the hash that was stored beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlock {
    /// The block.
    pub block: AuditBlock,
    /// Its hash as stored.
    pub hash: ChainHash,
}

/// Transactions that run or are to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningTransactions {
    /// The oldest that runs: rows of lower ones are final.
    pub oldest: i64,
    /// The next number: no row has it or a higher one.
    pub next: i64,
    /// Time by the database's clock.
    pub now: DateTime<Utc>,
}

impl AuditChains<'_> {
    /// Returns the numbers of the transactions that run.
    pub async fn running(&mut self) -> Result<RunningTransactions> {
        Ok(sqlx::query_as!(
            RunningTransactions,
            r#"SELECT pg_snapshot_xmin(snapshot)::text::bigint + transaction_offset AS "oldest!",
                pg_snapshot_xmax(snapshot)::text::bigint + transaction_offset AS "next!", clock_timestamp() AS "now!"
             FROM pg_current_snapshot() AS snapshot, audit_retention"#
        )
        .fetch_one(&mut *self.0)
        .await?)
    }

    /// Waits for statements that count on these rows, and blocks later ones until the transaction ends.
    ///
    /// # Errors
    /// `Unavailable` if one takes longer than the lock time-out.
    pub async fn await_counting(&mut self, chain: AuditChain, rows: &[Uuid]) -> Result<()> {
        match chain {
            AuditChain::AuditLog => {
                sqlx::query!("SELECT id FROM audit_log WHERE id = ANY($1) FOR SHARE", rows)
                    .fetch_all(&mut *self.0)
                    .await?;
            }
            AuditChain::SecurityEvents => {
                sqlx::query!("SELECT id FROM security_events WHERE id = ANY($1) FOR SHARE", rows)
                    .fetch_all(&mut *self.0)
                    .await?;
            }
        }
        Ok(())
    }

    /// Returns the stored hash of a block, if it exists.
    pub async fn hash_at(&mut self, chain: AuditChain, position: i64) -> Result<Option<ChainHash>> {
        let stored = sqlx::query_scalar!(
            "SELECT hash FROM audit_blocks WHERE chain = $1 AND position = $2",
            chain.as_str(),
            position,
        );
        stored.fetch_optional(&mut *self.0).await?.map(|bytes| hash(&bytes)).transpose()
    }

    /// Appends a block.
    ///
    /// # Errors
    /// `Conflict` with `audit_blocks_pkey` if another scheduler appended one at this position.
    pub async fn append(&mut self, block: &AuditBlock) -> Result<()> {
        let ids: Vec<Uuid> = block.rows.iter().map(|(id, _)| *id).collect();
        let hash = block.hash();
        let hashes: Vec<u8> = block.rows.iter().flat_map(|(_, hash)| *hash.as_bytes()).collect();
        sqlx::query!(
            "INSERT INTO audit_blocks (chain, position, day, newest, last_transaction, last_id, row_ids, row_hashes,
                previous, hash)
             VALUES ($1, $2, $3, $4, $5::bigint::text::xid8, $6, $7, $8, $9, $10)",
            block.chain.as_str(),
            block.position,
            block.day,
            block.newest,
            block.last.transaction,
            block.last.id,
            &ids,
            hashes,
            block.previous.as_bytes(),
            hash.as_bytes(),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns up to `limit` blocks after a position, in order.
    pub async fn blocks(&mut self, chain: AuditChain, after: i64, limit: i64) -> Result<Vec<StoredBlock>> {
        let rows = sqlx::query_as!(
            BlockRow,
            r#"SELECT position, day, newest, last_transaction::text::bigint AS "last_transaction!", last_id, row_ids,
                row_hashes, previous, hash
             FROM audit_blocks WHERE chain = $1 AND position > $2 ORDER BY position LIMIT $3"#,
            chain.as_str(),
            after,
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(|row| row.into_block(chain)).collect()
    }

    /// Returns the number of blocks after a position.
    pub async fn count_blocks(&mut self, chain: AuditChain, after: i64) -> Result<i64> {
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "n!" FROM audit_blocks WHERE chain = $1 AND position > $2"#,
            chain.as_str(),
            after,
        );
        Ok(count.fetch_one(&mut *self.0).await?)
    }

    /// Returns the last block after `base` up to which every row is older than `keep` and than the owner of the tables
    /// allows, and the time of the newest of these rows. `None` if there is no such block.
    pub async fn prunable(
        &mut self,
        chain: AuditChain,
        base: i64,
        keep: TimeDelta,
    ) -> Result<Option<(ChainHead, DateTime<Utc>)>> {
        let found = sqlx::query!(
            r#"WITH cutoff AS (
                SELECT now() - greatest(make_interval(secs => $3), least_age) AS at FROM audit_retention
                WHERE least_age IS NOT NULL
             ), old AS (
                SELECT position, hash, last_transaction, last_id, newest FROM audit_blocks, cutoff
                WHERE chain = $1 AND position > $2 AND position < coalesce(
                    (SELECT min(position) FROM audit_blocks WHERE chain = $1 AND position > $2 AND newest >= at),
                    9223372036854775807)
             )
             SELECT position AS "position!", hash AS "hash!", last_transaction::text::bigint AS "transaction!",
                last_id AS "last_id!", (SELECT max(newest) FROM old) AS "newest!"
             FROM old ORDER BY position DESC LIMIT 1"#,
            chain.as_str(),
            base,
            seconds(keep),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        let Some(row) = found else { return Ok(None) };
        let last = ChainPlace { transaction: row.transaction, id: row.last_id };
        Ok(Some((ChainHead { position: row.position, hash: hash(&row.hash)?, last }, row.newest)))
    }

    /// Returns the newest checkpoint.
    pub async fn newest_checkpoint(&mut self, chain: AuditChain) -> Result<Option<StoredCheckpoint>> {
        Ok(self.checkpoints(chain, 1).await?.pop())
    }

    /// Returns all checkpoints, newest first.
    pub async fn all_checkpoints(&mut self, chain: AuditChain) -> Result<Vec<StoredCheckpoint>> {
        self.checkpoints(chain, MAX_CHECKPOINTS).await
    }

    async fn checkpoints(&mut self, chain: AuditChain, limit: i64) -> Result<Vec<StoredCheckpoint>> {
        let rows = sqlx::query_as!(
            CheckpointRow,
            r#"SELECT position, hash, head_transaction::text::bigint AS "head_transaction!", head_id, base_position,
                base_hash, base_transaction::text::bigint AS "base_transaction!", base_id, base_newest, signed_at,
                key_id, signature, missing_key_id, missing_position
             FROM audit_checkpoints WHERE chain = $1 ORDER BY day DESC LIMIT $2"#,
            chain.as_str(),
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(|row| row.into_checkpoint(chain)).collect()
    }

    /// Writes the checkpoint of a day, in place of an earlier one of that day.
    pub async fn write_checkpoint(&mut self, stored: &StoredCheckpoint) -> Result<()> {
        let StoredCheckpoint { checkpoint, signature } = stored;
        let Checkpoint { head, base, .. } = checkpoint;
        sqlx::query!(
            "INSERT INTO audit_checkpoints (chain, day, position, hash, head_transaction, head_id, base_position,
                base_hash, base_transaction, base_id, base_newest, signed_at, key_id, signature, missing_key_id,
                missing_position)
             VALUES ($1, $2, $3, $4, $5::bigint::text::xid8, $6, $7, $8, $9::bigint::text::xid8, $10, $11, $12, $13,
                $14, $15, $16)
             ON CONFLICT (chain, day) DO UPDATE SET position = EXCLUDED.position, hash = EXCLUDED.hash,
                head_transaction = EXCLUDED.head_transaction, head_id = EXCLUDED.head_id,
                base_position = EXCLUDED.base_position, base_hash = EXCLUDED.base_hash,
                base_transaction = EXCLUDED.base_transaction, base_id = EXCLUDED.base_id,
                base_newest = EXCLUDED.base_newest, signed_at = EXCLUDED.signed_at, key_id = EXCLUDED.key_id,
                signature = EXCLUDED.signature, missing_key_id = EXCLUDED.missing_key_id,
                missing_position = EXCLUDED.missing_position
             WHERE audit_checkpoints.position <= EXCLUDED.position",
            checkpoint.chain.as_str(),
            checkpoint.day(),
            head.position,
            head.hash.as_bytes(),
            head.last.transaction,
            head.last.id,
            base.position,
            base.hash.as_bytes(),
            base.last.transaction,
            base.last.id,
            checkpoint.base_newest,
            checkpoint.signed_at,
            signature.as_ref().map(|signature| signature.key_id.as_str()),
            signature.as_ref().map(|signature| signature.bytes.as_slice()),
            checkpoint.missing.as_ref().map(|missing| missing.key_id.as_str()),
            checkpoint.missing.as_ref().map(|missing| missing.position),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }
}

/// A row of `audit_checkpoints`.
struct CheckpointRow {
    position: i64,
    hash: Vec<u8>,
    head_transaction: i64,
    head_id: Uuid,
    base_position: i64,
    base_hash: Vec<u8>,
    base_transaction: i64,
    base_id: Uuid,
    base_newest: DateTime<Utc>,
    signed_at: DateTime<Utc>,
    key_id: Option<String>,
    signature: Option<Vec<u8>>,
    missing_key_id: Option<String>,
    missing_position: Option<i64>,
}

impl CheckpointRow {
    fn into_checkpoint(self, chain: AuditChain) -> Result<StoredCheckpoint> {
        let head = ChainHead {
            position: self.position,
            hash: hash(&self.hash)?,
            last: ChainPlace { transaction: self.head_transaction, id: self.head_id },
        };
        let base = ChainHead {
            position: self.base_position,
            hash: hash(&self.base_hash)?,
            last: ChainPlace { transaction: self.base_transaction, id: self.base_id },
        };
        let signature = self.key_id.zip(self.signature);
        let missing = self.missing_key_id.zip(self.missing_position);
        Ok(StoredCheckpoint {
            checkpoint: Checkpoint {
                chain,
                head,
                base,
                base_newest: self.base_newest,
                signed_at: self.signed_at,
                missing: missing.map(|(key_id, position)| MissingKey { key_id, position }),
            },
            signature: signature.map(|(key_id, bytes)| CheckpointSignature { key_id, bytes }),
        })
    }
}

/// A row of `audit_blocks`.
struct BlockRow {
    position: i64,
    day: NaiveDate,
    newest: DateTime<Utc>,
    last_transaction: i64,
    last_id: Uuid,
    row_ids: Vec<Uuid>,
    row_hashes: Vec<u8>,
    previous: Vec<u8>,
    hash: Vec<u8>,
}

impl BlockRow {
    fn into_block(self, chain: AuditChain) -> Result<StoredBlock> {
        let hashes = self.row_hashes.chunks(32).map(hash).collect::<Result<Vec<_>>>()?;
        let block = AuditBlock {
            chain,
            position: self.position,
            day: self.day,
            newest: self.newest,
            last: ChainPlace { transaction: self.last_transaction, id: self.last_id },
            rows: self.row_ids.into_iter().zip(hashes).collect(),
            previous: hash(&self.previous)?,
        };
        Ok(StoredBlock { block, hash: hash(&self.hash)? })
    }
}

fn hash(bytes: &[u8]) -> Result<ChainHash> {
    ChainHash::from_bytes(bytes).ok_or_else(|| StoreError::inconsistent("a hash of another length"))
}
