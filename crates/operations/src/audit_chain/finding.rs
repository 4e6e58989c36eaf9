//! Differences between a chain and its rows.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

/// Most findings of one verification.
pub const MAX_FINDINGS: usize = 1000;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainFinding {
    /// A chained row does not exist any more.
    RowRemoved {
        /// Id of the row.
        id: Uuid,
        /// Number of its block.
        position: i64,
        /// Day of the row.
        day: NaiveDate,
    },
    /// A column of a chained row was changed.
    RowEdited {
        /// Id of the row.
        id: Uuid,
        /// Number of its block.
        position: i64,
        /// Day of the row.
        day: NaiveDate,
    },
    /// A row stands between chained rows and is not chained.
    RowInserted {
        /// Id of the row.
        id: Uuid,
        /// Time that the row states.
        time: DateTime<Utc>,
    },
    /// A row was written more than a day after the time it states.
    RowDatedBack {
        /// Id of the row.
        id: Uuid,
        /// Time that the row states.
        time: DateTime<Utc>,
        /// Number of its block.
        position: i64,
    },
    /// Blocks do not exist any more.
    BlocksRemoved {
        /// Number of the first.
        first: i64,
        /// Number of the last.
        last: i64,
    },
    /// A block differs from its hash, or does not follow the block before it.
    BlockChanged {
        /// Number of the block.
        position: i64,
    },
    /// A block is newer than the newest checkpoint.
    BlockUnsigned {
        /// Number of the block.
        position: i64,
    },
    /// A checkpoint differs from its signature.
    CheckpointChanged {
        /// Day of the checkpoint.
        day: NaiveDate,
    },
    /// The newest checkpoint has no signature.
    CheckpointUnsigned {
        /// Day of the checkpoint.
        day: NaiveDate,
    },
    /// The newest checkpoint was signed with a key that was not given.
    CheckpointOfUnknownKey {
        /// Day of the checkpoint.
        day: NaiveDate,
        /// Id of the key.
        key_id: String,
    },
    /// The scheduler lost a key and went on without verifying the checkpoint that it had signed.
    KeyMissing {
        /// Id of the key.
        key_id: String,
        /// Newest block of that checkpoint.
        position: i64,
    },
    /// A block is not the one that was signed.
    CheckpointDiffers {
        /// Day of the checkpoint.
        day: NaiveDate,
        /// Number of the block.
        position: i64,
    },
    /// A block is not the one that was noted elsewhere.
    NotedBlockDiffers {
        /// Number of the block.
        position: i64,
    },
    /// The chain ends before the block that was noted elsewhere.
    NotedBlockMissing {
        /// Number of the block.
        position: i64,
    },
}

impl ChainFinding {
    /// Returns the code of the kind of difference.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::RowRemoved { .. } => "row_removed",
            Self::RowEdited { .. } => "row_edited",
            Self::RowInserted { .. } => "row_inserted",
            Self::RowDatedBack { .. } => "row_dated_back",
            Self::BlocksRemoved { .. } => "blocks_removed",
            Self::BlockChanged { .. } => "block_changed",
            Self::BlockUnsigned { .. } => "block_unsigned",
            Self::CheckpointChanged { .. } => "checkpoint_changed",
            Self::CheckpointUnsigned { .. } => "checkpoint_unsigned",
            Self::CheckpointOfUnknownKey { .. } => "checkpoint_of_unknown_key",
            Self::KeyMissing { .. } => "key_missing",
            Self::CheckpointDiffers { .. } => "checkpoint_differs",
            Self::NotedBlockDiffers { .. } => "noted_block_differs",
            Self::NotedBlockMissing { .. } => "noted_block_missing",
        }
    }

    /// Returns the id of the row, if the difference is about one.
    pub const fn row(&self) -> Option<Uuid> {
        match self {
            Self::RowRemoved { id, .. }
            | Self::RowEdited { id, .. }
            | Self::RowInserted { id, .. }
            | Self::RowDatedBack { id, .. } => Some(*id),
            _ => None,
        }
    }
}

impl fmt::Display for ChainFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RowRemoved { id, position, day } => {
                write!(f, "The row {id} of {day} was removed (block {position}).")
            }
            Self::RowEdited { id, position, day } => {
                write!(f, "The row {id} of {day} was edited (block {position}).")
            }
            Self::RowInserted { id, time } => {
                write!(f, "The row {id}, dated {time}, was inserted between chained rows.")
            }
            Self::RowDatedBack { id, time, position } => {
                write!(f, "The row {id}, dated {time}, was written later (block {position}).")
            }
            Self::BlocksRemoved { first, last } if first == last => {
                write!(f, "Block {first} was removed.")
            }
            Self::BlocksRemoved { first, last } => write!(f, "Blocks {first} to {last} were removed."),
            Self::BlockChanged { position } => write!(f, "Block {position} was changed."),
            Self::BlockUnsigned { position } => {
                write!(f, "Block {position} is newer than the newest checkpoint.")
            }
            Self::CheckpointChanged { day } => write!(f, "The checkpoint of {day} was changed."),
            Self::CheckpointUnsigned { day } => {
                write!(f, "The newest checkpoint, of {day}, is not signed. Set TOKEN_KEYS for the scheduler.")
            }
            Self::CheckpointOfUnknownKey { day, key_id } => {
                write!(
                    f,
                    "The newest checkpoint, of {day}, was signed with the key {key_id:?}, which was not given."
                )
            }
            Self::KeyMissing { key_id, position } => {
                write!(
                    f,
                    "The scheduler went on without the key {key_id:?}, which had signed block {position}: nothing proves the rows up to it."
                )
            }
            Self::CheckpointDiffers { day, position } => {
                write!(
                    f,
                    "Block {position} is not the one that was signed on {day}: rows up to it were rewritten."
                )
            }
            Self::NotedBlockDiffers { position } => {
                write!(f, "Block {position} is not the one that was noted: rows up to it were rewritten.")
            }
            Self::NotedBlockMissing { position } => {
                write!(
                    f,
                    "The chain ends before block {position}, which was noted: its newest rows were removed."
                )
            }
        }
    }
}
