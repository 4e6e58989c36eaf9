//! Signed checkpoints of an audit chain.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    hkdf::{HKDF_SHA256, Salt},
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use zeroize::Zeroizing;

use super::{AuditChain, ChainHead, hex, unhex};
use crate::SealError;

/// The state of a chain at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The chain.
    pub chain: AuditChain,
    /// The newest block.
    pub head: ChainHead,
    /// The last block whose rows may have been removed for their age.
    pub base: ChainHead,
    /// Time of the newest row that may have been removed.
    pub base_newest: DateTime<Utc>,
    /// Time of the signature by the database's clock, in whole microseconds.
    pub signed_at: DateTime<Utc>,
    /// Key that was lost while the chain had blocks that only it vouched for.
    pub missing: Option<MissingKey>,
}

/// A key that the scheduler no longer had when it had to verify a checkpoint. The chain went on without that proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingKey {
    /// Id of the key, as the checkpoint named it.
    pub key_id: String,
    /// Newest block of that checkpoint. Nothing proves the blocks up to it.
    pub position: i64,
}

/// A signature of a checkpoint, and the id of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointSignature {
    /// Id of the key, as configured.
    pub key_id: String,
    /// An Ed25519 signature, 64 bytes.
    pub bytes: Vec<u8>,
}

impl Checkpoint {
    /// Returns the day of the signature, in UTC. A chain has one checkpoint a day.
    pub fn day(&self) -> NaiveDate {
        self.signed_at.date_naive()
    }

    /// Returns the text that is signed.
    pub fn text(&self) -> String {
        let time = |time: &DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
        let point = |head: &ChainHead| {
            format!("{} {} {} {}", head.position, head.hash, head.last.transaction, head.last.id)
        };
        // The id is text of the database, so nothing may follow it.
        let missing = |key: &MissingKey| format!("unproven {} {}\n", key.position, key.key_id);
        format!(
            "rts audit checkpoint 1\nchain {}\nhead {}\nbase {} {}\nsigned at {}\n{}",
            self.chain,
            point(&self.head),
            point(&self.base),
            time(&self.base_newest),
            time(&self.signed_at),
            self.missing.as_ref().map(missing).unwrap_or_default(),
        )
    }
}

/// Keys that sign checkpoints. The first one signs; the others may have signed before.
#[derive(Clone)]
pub struct AuditKeys(Arc<[(String, Ed25519KeyPair)]>);

impl fmt::Debug for AuditKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

impl AuditKeys {
    /// Derives signing keys from `(id, secret)` pairs; `None` if there are none. The secrets cannot be computed from
    /// them.
    ///
    /// # Errors
    /// [`SealError::BadKey`] if the cryptographic library refuses a key.
    pub fn derive(secrets: &[(String, Zeroizing<Vec<u8>>)]) -> Result<Option<Self>, SealError> {
        let keys = secrets.iter().map(|(id, secret)| Ok((id.clone(), key_pair(secret)?)));
        let keys = keys.collect::<Result<Arc<[_]>, SealError>>()?;
        Ok(if keys.is_empty() { None } else { Some(Self(keys)) })
    }

    /// Signs a checkpoint with the first key; `None` if there is no key.
    pub fn sign(&self, checkpoint: &Checkpoint) -> Option<CheckpointSignature> {
        let (id, key) = self.0.first()?;
        let bytes = key.sign(checkpoint.text().as_bytes()).as_ref().to_vec();
        Some(CheckpointSignature { key_id: id.clone(), bytes })
    }

    /// Returns the keys that verify.
    pub fn public_keys(&self) -> AuditPublicKeys {
        let key = |(id, key): &(String, Ed25519KeyPair)| (id.clone(), key.public_key().as_ref().to_vec());
        AuditPublicKeys(self.0.iter().map(key).collect())
    }
}

fn key_pair(secret: &[u8]) -> Result<Ed25519KeyPair, SealError> {
    let mut seed = Zeroizing::new([0_u8; 32]);
    Salt::new(HKDF_SHA256, b"runner-token-service")
        .extract(secret)
        .expand(&[b"audit checkpoint"], HKDF_SHA256)
        .and_then(|key| key.fill(&mut *seed))
        .map_err(|_| SealError::BadKey)?;
    Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| SealError::BadKey)
}

/// Keys that verify checkpoints, with their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPublicKeys(Vec<(String, Vec<u8>)>);

/// A text that is no public key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a public key is its id, a colon and 64 hexadecimal digits, as `rts verify-audit-log` prints it")]
pub struct BadPublicKey;

impl AuditPublicKeys {
    /// Reads keys, each as `id:hex`.
    ///
    /// # Errors
    /// [`BadPublicKey`] for any other text.
    pub fn parse(texts: &[String]) -> Result<Self, BadPublicKey> {
        let parse = |text: &String| {
            let (id, digits) = text.split_once(':').filter(|(id, _)| !id.is_empty()).ok_or(BadPublicKey)?;
            Ok((id.to_owned(), unhex(digits).ok_or(BadPublicKey)?.to_vec()))
        };
        texts.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Returns the keys, each as `id:hex`.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(|(id, key)| format!("{id}:{}", hex(key))).collect()
    }

    /// Returns whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether there is a key with this id.
    pub fn knows(&self, key_id: &str) -> bool {
        self.0.iter().any(|(id, _)| id == key_id)
    }

    /// Returns whether one of the keys with the signature's id signed the checkpoint.
    pub fn verify(&self, checkpoint: &Checkpoint, signature: &CheckpointSignature) -> bool {
        let text = checkpoint.text();
        self.0.iter().filter(|(id, _)| *id == signature.key_id).any(|(_, key)| {
            UnparsedPublicKey::new(&ED25519, key).verify(text.as_bytes(), &signature.bytes).is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(ids: &[&str]) -> AuditKeys {
        let secret = |id: &&str| ((*id).to_owned(), Zeroizing::new(vec![id.as_bytes()[0]; 32]));
        AuditKeys::derive(&ids.iter().map(secret).collect::<Vec<_>>()).unwrap().unwrap()
    }

    fn checkpoint() -> Checkpoint {
        let time = "2026-01-31T12:00:00Z".parse().unwrap();
        Checkpoint {
            chain: AuditChain::AuditLog,
            head: ChainHead { position: 7, ..ChainHead::EMPTY },
            base: ChainHead::EMPTY,
            base_newest: time,
            signed_at: time,
            missing: None,
        }
    }

    #[test]
    fn signatures_hold_for_one_checkpoint_and_key() {
        let (both, signature) = (keys(&["b", "a"]), keys(&["a"]).sign(&checkpoint()).unwrap());
        assert!(both.public_keys().verify(&checkpoint(), &signature));
        assert!(!keys(&["b"]).public_keys().verify(&checkpoint(), &signature));
        let longer = Checkpoint { head: ChainHead { position: 8, ..ChainHead::EMPTY }, ..checkpoint() };
        assert!(!both.public_keys().verify(&longer, &signature));
        let missing = Some(MissingKey { key_id: "z".to_owned(), position: 5 });
        assert!(!both.public_keys().verify(&Checkpoint { missing, ..checkpoint() }, &signature));
        assert_eq!(both.sign(&checkpoint()).unwrap().key_id, "b");
        assert!(AuditKeys::derive(&[]).unwrap().is_none());
    }

    #[test]
    fn public_keys_are_read_as_they_are_printed() {
        let public = keys(&["a", "b"]).public_keys();
        assert_eq!(AuditPublicKeys::parse(&public.texts()), Ok(public));
        for bad in [
            "",
            "a",
            "a:",
            "a:12",
            ":00",
            &format!("a:{}", "é".repeat(32)),
            &format!("a:{}+1", "0".repeat(62)),
        ] {
            assert_eq!(AuditPublicKeys::parse(&[bad.to_owned()]), Err(BadPublicKey), "{bad}");
        }
    }
}
