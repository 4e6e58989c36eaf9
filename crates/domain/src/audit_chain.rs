//! Hash chain over the audit log and the security events: rows are grouped into blocks, and signed checkpoints name the
//! newest block.

mod checkpoint;

use std::{
    fmt::{self, Write},
    str::FromStr,
};

use aws_lc_rs::digest::{Context, SHA256};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use uuid::Uuid;

use crate::string_enum::string_enum;

pub use checkpoint::{AuditKeys, AuditPublicKeys, BadPublicKey, Checkpoint, CheckpointSignature, MissingKey};

/// Most rows of one block.
pub const MAX_BLOCK_ROWS: usize = 1000;

/// Time after which a row that counts repeats is final. It counts within the minute of its key; statements are
/// cancelled after ten seconds.
const REPEATS_SETTLE: TimeDelta = TimeDelta::minutes(3);

string_enum! {
    /// A table whose rows are chained.
    AuditChain {
        /// The audit log.
        AuditLog = "audit_log",
        /// The security events.
        SecurityEvents = "security_events",
    }
}

/// A SHA-256 hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// The hash that stands before the first block.
    pub const ZERO: Self = Self([0; 32]);

    /// Returns the hash with these bytes; `None` unless there are 32.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Returns the bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A text that is no hash.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a hash has 64 hexadecimal digits")]
pub struct BadChainHash;

impl FromStr for ChainHash {
    type Err = BadChainHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        unhex(text).map(Self).ok_or(BadChainHash)
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Place of a row in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainPlace {
    /// Number of the transaction that inserted the row.
    pub transaction: i64,
    /// Id of the row.
    pub id: Uuid,
}

impl ChainPlace {
    /// The place before every row.
    pub const START: Self = Self { transaction: 0, id: Uuid::nil() };

    /// Returns the last place below a transaction.
    pub const fn below(transaction: i64) -> Self {
        Self { transaction: transaction - 1, id: Uuid::max() }
    }
}

/// One row of a chained table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainRow {
    /// Place of the row.
    pub place: ChainPlace,
    /// Time of the row.
    pub timestamp: DateTime<Utc>,
    /// Whether the row may count repeats.
    pub counts_repeats: bool,
    /// The other columns that never change, as text.
    pub fields: Vec<Option<String>>,
}

impl ChainRow {
    /// Returns the hash of the row.
    pub fn hash(&self) -> ChainHash {
        let mut hasher = Hasher::new("rts audit row 1");
        hasher.place(self.place).number(self.timestamp.timestamp_micros());
        for field in &self.fields {
            match field {
                Some(text) => hasher.bytes(&[1]).text(text),
                None => hasher.bytes(&[0]),
            };
        }
        hasher.finish()
    }
}

/// Rows of one day that follow each other in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditBlock {
    /// Chain of the block.
    pub chain: AuditChain,
    /// Number of the block: 1, 2, 3 and so on, without gaps.
    pub position: i64,
    /// Day of the rows, in UTC.
    pub day: NaiveDate,
    /// Time of the newest row.
    pub newest: DateTime<Utc>,
    /// Place of the last row.
    pub last: ChainPlace,
    /// Ids and hashes of the rows, in order.
    pub rows: Vec<(Uuid, ChainHash)>,
    /// Hash of the block before.
    pub previous: ChainHash,
}

impl AuditBlock {
    /// Returns the block of the first of these rows that are final and of one day; `None` if there are none. `rows` are
    /// ordered and follow `head`.
    pub fn after(head: &ChainHead, chain: AuditChain, rows: &[ChainRow], now: DateTime<Utc>) -> Option<Self> {
        let day = rows.first()?.timestamp.date_naive();
        let is_final = |row: &&ChainRow| !row.counts_repeats || row.timestamp < now - REPEATS_SETTLE;
        let rows: Vec<&ChainRow> = rows
            .iter()
            .take_while(|row| row.timestamp.date_naive() == day && is_final(row))
            .take(MAX_BLOCK_ROWS)
            .collect();
        Some(Self {
            chain,
            position: head.position + 1,
            day,
            newest: rows.iter().map(|row| row.timestamp).max()?,
            last: rows.last()?.place,
            rows: rows.iter().map(|row| (row.place.id, row.hash())).collect(),
            previous: head.hash,
        })
    }

    /// Returns the hash of the block.
    pub fn hash(&self) -> ChainHash {
        let mut hasher = Hasher::new("rts audit block 1");
        hasher.text(self.chain.as_str()).number(self.position).bytes(self.previous.as_bytes());
        hasher.place(self.last).text(&self.day.to_string()).number(self.newest.timestamp_micros());
        for (id, hash) in &self.rows {
            hasher.bytes(id.as_bytes()).bytes(hash.as_bytes());
        }
        hasher.finish()
    }

    /// Returns the head of a chain that ends with this block.
    pub fn head(&self) -> ChainHead {
        ChainHead { position: self.position, hash: self.hash(), last: self.last }
    }
}

/// The end of a chain, or a point in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// Number of the last block; 0 before the first.
    pub position: i64,
    /// Hash of that block.
    pub hash: ChainHash,
    /// Place of its last row.
    pub last: ChainPlace,
}

impl ChainHead {
    /// The head of an empty chain.
    pub const EMPTY: Self = Self { position: 0, hash: ChainHash::ZERO, last: ChainPlace::START };
}

/// Hash of parts whose lengths are fixed or come first, so that two lists of parts never give the same bytes.
struct Hasher(Context);

impl Hasher {
    fn new(purpose: &str) -> Self {
        let mut hasher = Self(Context::new(&SHA256));
        hasher.text(purpose);
        hasher
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(bytes);
        self
    }

    fn number(&mut self, number: i64) -> &mut Self {
        self.bytes(&number.to_be_bytes())
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes()).bytes(text.as_bytes())
    }

    fn place(&mut self, place: ChainPlace) -> &mut Self {
        self.number(place.transaction).bytes(place.id.as_bytes())
    }

    fn finish(self) -> ChainHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref());
        ChainHash(hash)
    }
}

/// Returns the 32 bytes that 64 hexadecimal digits stand for.
fn unhex(digits: &str) -> Option<[u8; 32]> {
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (nth, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(nth * 2..nth * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Returns the bytes as hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(transaction: i64, minutes_ago: i64, counts_repeats: bool) -> ChainRow {
        let place = ChainPlace { transaction, id: Uuid::from_u128(transaction.unsigned_abs().into()) };
        let timestamp = noon() - TimeDelta::minutes(minutes_ago);
        ChainRow { place, timestamp, counts_repeats, fields: vec![Some("a".to_owned()), None] }
    }

    fn noon() -> DateTime<Utc> {
        "2026-01-31T12:00:00Z".parse().unwrap()
    }

    fn block(rows: &[ChainRow]) -> Option<AuditBlock> {
        AuditBlock::after(&ChainHead::EMPTY, AuditChain::AuditLog, rows, noon())
    }

    #[test]
    fn blocks_end_before_rows_that_still_count_and_before_another_day() {
        let rows = [row(1, 9, false), row(2, 4, true), row(3, 2, true), row(4, 1, false)];
        assert_eq!(block(&rows).unwrap().rows.len(), 2);
        assert_eq!(block(&rows[2..]), None, "the row behind waits as well");
        let days = [row(1, 24 * 60, false), row(2, 0, false)];
        assert_eq!(block(&days).unwrap().day.to_string(), "2026-01-30");
        assert_eq!(block(&days).unwrap().rows.len(), 1);
        assert_eq!(block(&[]), None);
    }

    #[test]
    fn every_part_of_a_row_changes_its_hash() {
        let original = row(1, 0, false);
        let mut others = vec![original.clone(), row(2, 0, false), row(1, 1, false)];
        for fields in [
            vec![Some("b".to_owned()), None],
            vec![Some("a".to_owned()), Some(String::new())],
            vec![None, Some("a".to_owned())],
        ] {
            others.push(ChainRow { fields, ..original.clone() });
        }
        let hashes: std::collections::HashSet<_> = others.iter().map(ChainRow::hash).collect();
        assert_eq!(hashes.len(), others.len());
        assert_eq!(row(1, 0, true).hash(), original.hash());
    }

    #[test]
    fn every_part_of_a_block_changes_its_hash() {
        let original = block(&[row(1, 1, false), row(2, 0, false)]).unwrap();
        let mut others = vec![original.clone(); 7];
        others[1].position = 2;
        others[2].previous = ChainHash([1; 32]);
        others[3].rows.swap(0, 1);
        others[4].last = ChainPlace::START;
        others[5].newest = noon() + TimeDelta::microseconds(1);
        others[6].chain = AuditChain::SecurityEvents;
        let hashes: std::collections::HashSet<_> = others.iter().map(AuditBlock::hash).collect();
        assert_eq!(hashes.len(), others.len());
    }
}
