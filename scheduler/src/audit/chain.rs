//! Chaining of audit rows and security events, and signing of checkpoints (docs/decisions/0075). Writers are not
//! involved: the step reads rows that are final.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    AuditBlock, AuditChain, AuditEntry, ChainHead, ChainPlace, ChainRow, Checkpoint, MAX_BLOCK_ROWS,
    MissingKey, SecurityEvent, Severity,
};
use serde_json::json;
use store::{AuditChains, ChainRange, RunningTransactions, StoredCheckpoint};
use tokio::time::Instant;

use crate::{Parts, StepError};

/// Time after which a step starts no further block; less than a step's time limit.
const MAX_DURATION: Duration = Duration::from_secs(10);
/// Age after which a checkpoint is signed again, so that its time shows that the chain was complete until then.
const SIGN_INTERVAL: TimeDelta = TimeDelta::seconds(60);
/// Age of a checkpoint of an unknown key from which the chain goes on without it. A scheduler that has the key signs
/// each minute, so schedulers that are being restarted with different keys wait for each other.
const KEY_LOSS_GRACE: TimeDelta = TimeDelta::minutes(15);
/// Fault of a newest checkpoint whose key is not among this scheduler's.
const UNKNOWN_KEY: &str = "checkpoint_of_unknown_key";
/// Fault of a chain that goes on although nothing proves its blocks so far.
const KEY_MISSING: &str = "key_missing";

/// Chain heads this scheduler has written or read, and the faults it has reported; clones share them.
#[derive(Clone, Debug, Default)]
pub struct ChainMemory(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    heads: BTreeMap<AuditChain, ChainHead>,
    reported: BTreeSet<(AuditChain, &'static str)>,
}

impl ChainMemory {
    fn with<T>(&self, read: impl FnOnce(&mut Memory) -> T) -> T {
        read(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Chains rows that are final and signs the checkpoints. Returns the number of rows.
pub async fn run(parts: Parts, memory: ChainMemory) -> Result<u64, StepError> {
    let begun = Instant::now();
    let mut chained = 0;
    for chain in AuditChain::ALL.iter().copied() {
        loop {
            let step = ChainStep { parts: &parts, memory: &memory, chain };
            let appended = step.append().await?;
            chained += appended.rows;
            if !appended.may_go_on || begun.elapsed() >= MAX_DURATION {
                break;
            }
        }
    }
    Ok(chained)
}

/// Result of one transaction.
struct Appended {
    rows: u64,
    /// Whether more rows may be final.
    may_go_on: bool,
}

/// The work on one chain.
struct ChainStep<'s> {
    parts: &'s Parts,
    memory: &'s ChainMemory,
    chain: AuditChain,
}

impl ChainStep<'_> {
    /// Appends one block and signs a checkpoint with it, in one transaction.
    async fn append(&self) -> Result<Appended, StepError> {
        let mut tx = self.parts.store.begin().await?;
        let mut chains = tx.audit_chains();
        let running = chains.running().await?;
        let newest = chains.newest_checkpoint(self.chain).await?;
        let mut lost = None;
        if let Some(newest) = &newest
            && let Some(fault) = self.find_forgery(&mut chains, newest).await?
        {
            lost = lost_key(newest, running.now).filter(|_| fault == UNKNOWN_KEY);
            let Some(lost) = &lost else { return self.fail(fault).await };
            tracing::warn!(chain = %self.chain, key = lost.key_id, block = lost.position,
                "the key of the newest checkpoint is not among TOKEN_KEYS; the audit chain goes on with the newest key");
            self.report(KEY_MISSING).await?;
        }
        let newest = newest.as_ref().map(|newest| &newest.checkpoint);
        let head = newest.map_or(ChainHead::EMPTY, |newest| newest.head);
        if let Some(fault) = self.find_fault(&mut chains, &head, newest).await? {
            self.report(fault).await?;
        }
        let range = ChainRange { after: head.last, through: ChainPlace::below(running.oldest) };
        let (read, block) = self.next_block(&mut chains, &head, range, running).await?;
        if let Some(block) = &block {
            chains.append(block).await?;
        }
        let rows = block.as_ref().map_or(0, |block| block.rows.len());
        let head = block.map_or(head, |block| block.head());
        self.sign(&mut chains, newest, NewState { head, lost }, running).await?;
        tx.commit().await?;
        self.memory.with(|memory| memory.heads.insert(self.chain, head));
        let may_go_on = rows > 0 && (rows < read || read == MAX_BLOCK_ROWS);
        Ok(Appended { rows: u64::try_from(rows).unwrap_or(u64::MAX), may_go_on })
    }

    /// Returns the number of rows that were read, and the block of those that are final.
    async fn next_block(
        &self,
        chains: &mut AuditChains<'_>,
        head: &ChainHead,
        range: ChainRange,
        running: RunningTransactions,
    ) -> Result<(usize, Option<AuditBlock>), StepError> {
        let mut rows = chains.rows(self.chain, range, MAX_BLOCK_ROWS).await?;
        let read = rows.len();
        let block = |rows: &[ChainRow]| AuditBlock::after(head, self.chain, rows, running.now);
        let Some(first) = block(&rows) else { return Ok((read, None)) };
        rows.truncate(first.rows.len());
        let counting: Vec<_> = rows.iter().filter(|row| row.counts_repeats).map(|row| row.place.id).collect();
        if !counting.is_empty() {
            chains.await_counting(self.chain, &counting).await?;
            rows =
                chains.rows(self.chain, ChainRange { through: first.last, ..range }, MAX_BLOCK_ROWS).await?;
        }
        Ok((read, block(&rows)))
    }

    /// Signs the checkpoint if it says more than the newest one.
    async fn sign(
        &self,
        chains: &mut AuditChains<'_>,
        newest: Option<&Checkpoint>,
        state: NewState,
        running: RunningTransactions,
    ) -> Result<(), StepError> {
        let NewState { head, lost } = state;
        let (mut base, mut base_newest) = newest
            .map_or((ChainHead::EMPTY, chrono::DateTime::UNIX_EPOCH), |one| (one.base, one.base_newest));
        if let Some(keep) = self.parts.sync.retention.audit
            && let Some((found, time)) = chains.prunable(self.chain, base.position, keep).await?
        {
            (base, base_newest) = (found, base_newest.max(time));
        }
        let (chain, signed_at) = (self.chain, running.now);
        let missing = lost.or_else(|| newest.and_then(|newest| newest.missing.clone()));
        // A block after the loss was signed before it became the base, so all that is left is proven.
        let missing = missing.filter(|missing| base.position <= missing.position);
        let checkpoint = Checkpoint { chain, head, base, base_newest, signed_at, missing };
        if newest.is_some_and(|newest| !is_due(newest, &checkpoint)) {
            return Ok(());
        }
        let signature = self.parts.audit_keys.as_ref().and_then(|keys| keys.sign(&checkpoint));
        chains.write_checkpoint(&StoredCheckpoint { checkpoint, signature }).await?;
        Ok(())
    }

    /// Returns why the newest checkpoint cannot be trusted. What it says is signed again, so with keys its signature
    /// must hold.
    async fn find_forgery(
        &self,
        chains: &mut AuditChains<'_>,
        newest: &StoredCheckpoint,
    ) -> Result<Option<&'static str>, StepError> {
        let Some(keys) = &self.parts.audit_keys else { return Ok(None) };
        let keys = keys.public_keys();
        Ok(match &newest.signature {
            None => {
                let all = chains.all_checkpoints(self.chain).await?;
                // Otherwise the keys are new.
                all.iter().any(|one| one.signature.is_some()).then_some("checkpoint_unsigned")
            }
            Some(signature) if !keys.knows(&signature.key_id) => Some(UNKNOWN_KEY),
            Some(signature) if keys.verify(&newest.checkpoint, signature) => None,
            Some(_) => Some("checkpoint_changed"),
        })
    }

    /// Compares the blocks with the newest checkpoint and with the head this scheduler remembers.
    async fn find_fault(
        &self,
        chains: &mut AuditChains<'_>,
        head: &ChainHead,
        newest: Option<&Checkpoint>,
    ) -> Result<Option<&'static str>, StepError> {
        let remembered = self.memory.with(|memory| memory.heads.get(&self.chain).copied());
        if remembered.is_some_and(|seen| seen.position > head.position) {
            return Ok(Some("chain_shorter_than_before"));
        }
        let stored = chains.hash_at(self.chain, head.position).await?;
        let is_base = newest.is_none_or(|newest| newest.base == newest.head);
        Ok(match stored {
            Some(stored) if stored != head.hash => Some("newest_block_changed"),
            None if !is_base => Some("newest_block_removed"),
            _ => None,
        })
    }

    async fn fail(&self, fault: &'static str) -> Result<Appended, StepError> {
        self.report(fault).await?;
        Err(StepError::Incomplete)
    }

    /// Writes a fault to the log and, once for each process, as a security event.
    async fn report(&self, fault: &'static str) -> Result<(), StepError> {
        let chain = self.chain;
        tracing::error!(%chain, fault, "the audit chain is doubtful; see `rts verify-audit-log`");
        if self.memory.with(|memory| memory.reported.contains(&(chain, fault))) {
            return Ok(());
        }
        let data = json!({ "chain": chain, "fault": fault });
        let entry = AuditEntry { data, ..AuditEntry::service("audit.chain") };
        let event = SecurityEvent {
            event_type: "audit_chain_broken",
            severity: Severity::Critical,
            action_taken: "none",
        };
        self.parts.store.conn().await?.audit().alarm(&event, &entry).await?;
        self.memory.with(|memory| memory.reported.insert((chain, fault)));
        Ok(())
    }
}

/// What a step makes of the chain.
struct NewState {
    head: ChainHead,
    /// Key of the newest checkpoint, if the step goes on without it.
    lost: Option<MissingKey>,
}

/// Returns the key of a checkpoint if no scheduler that has it can be at work any more.
fn lost_key(newest: &StoredCheckpoint, now: DateTime<Utc>) -> Option<MissingKey> {
    let StoredCheckpoint { checkpoint, signature } = newest;
    let is_old = now - checkpoint.signed_at >= KEY_LOSS_GRACE;
    let signature = signature.as_ref().filter(|_| is_old)?;
    Some(MissingKey { key_id: signature.key_id.clone(), position: checkpoint.head.position })
}

/// Returns whether the next checkpoint says something new, or the newest is old.
fn is_due(newest: &Checkpoint, next: &Checkpoint) -> bool {
    (newest.head, newest.base, newest.day(), &newest.missing)
        != (next.head, next.base, next.day(), &next.missing)
        || next.signed_at - newest.signed_at >= SIGN_INTERVAL
}
