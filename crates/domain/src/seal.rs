//! Encryption of secrets at rest: AES-256-GCM with one data key per row, wrapped by a configured key.

use std::sync::Arc;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand,
};
use zeroize::Zeroizing;

use crate::{JobId, Secret};

/// Keys that wrap data keys. The first one seals and all open, so that keys can be rotated.
#[derive(Clone)]
pub struct KeyRing {
    keys: Arc<[(String, LessSafeKey)]>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

/// A sealed secret. Both byte strings consist of nonce (12 bytes), ciphertext and tag (16 bytes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Id of the key that wraps the data key.
    pub key_id: String,
    /// Wrapped data key.
    pub wrapped_key: Vec<u8>,
    /// Secret, encrypted with the data key.
    pub ciphertext: Vec<u8>,
}

/// Reason sealing or opening failed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// There is no key, or one is not 32 bytes long.
    #[error("a key ring needs at least one key, each of 32 bytes")]
    BadKey,
    /// The key with this id is not configured.
    #[error("the key `{0}` is not among CREDENTIAL_KEYS")]
    UnknownKey(String),
    /// The sealed bytes were changed or truncated, or belong to another context.
    #[error("the sealed secret cannot be opened")]
    Broken,
}

impl KeyRing {
    /// Builds a ring from `(id, 32 bytes)` pairs; the first seals.
    ///
    /// # Errors
    /// [`SealError::BadKey`] for no key or one of another length.
    pub fn new(keys: &[(String, Zeroizing<Vec<u8>>)]) -> Result<Self, SealError> {
        if keys.is_empty() {
            return Err(SealError::BadKey);
        }
        let keys = keys
            .iter()
            .map(|(id, bytes)| key(bytes).map(|key| (id.clone(), key)))
            .collect::<Result<Arc<_>, _>>()?;
        Ok(Self { keys })
    }

    /// Seals `secret` for `context` (for a config: job id and runner name). The key id is authenticated too.
    ///
    /// # Errors
    /// [`SealError::Broken`] if the cryptographic library fails.
    pub fn seal(&self, context: &str, secret: &Secret) -> Result<Sealed, SealError> {
        let (key_id, wrapping) = self.keys.first().ok_or(SealError::BadKey)?;
        let aad = format!("{context}|{key_id}");
        let mut data_key = Zeroizing::new(vec![0_u8; 32]);
        rand::fill(&mut data_key).map_err(|_| SealError::Broken)?;
        Ok(Sealed {
            key_id: key_id.clone(),
            wrapped_key: encrypt(wrapping, &aad, &data_key)?,
            ciphertext: encrypt(&key(&data_key)?, &aad, secret.expose().as_bytes())?,
        })
    }

    /// Opens a secret that was sealed for this `context`.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`] for a key that is not configured; [`SealError::Broken`] for changed bytes or another
    /// context.
    pub fn open(&self, context: &str, sealed: &Sealed) -> Result<Secret, SealError> {
        let (_, wrapping) = self
            .keys
            .iter()
            .find(|(id, _)| *id == sealed.key_id)
            .ok_or_else(|| SealError::UnknownKey(sealed.key_id.clone()))?;
        let aad = format!("{context}|{}", sealed.key_id);
        let data_key = decrypt(wrapping, &aad, &sealed.wrapped_key)?;
        let plain = decrypt(&key(&data_key)?, &aad, &sealed.ciphertext)?;
        let text = std::str::from_utf8(&plain).map_err(|_| SealError::Broken)?;
        Ok(Secret::new(text))
    }
}

/// Returns the context a JIT config is sealed for: one job and one runner name.
pub fn credential_context(job: JobId, runner_name: &str) -> String {
    format!("{job}|{runner_name}")
}

fn key(bytes: &[u8]) -> Result<LessSafeKey, SealError> {
    UnboundKey::new(&AES_256_GCM, bytes).map(LessSafeKey::new).map_err(|_| SealError::BadKey)
}

fn encrypt(key: &LessSafeKey, aad: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut nonce = [0_u8; NONCE_LEN];
    rand::fill(&mut nonce).map_err(|_| SealError::Broken)?;
    let mut body = Zeroizing::new(plain.to_vec());
    let tag = key
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut body)
        .map_err(|_| SealError::Broken)?;
    Ok([&nonce[..], &body, tag.as_ref()].concat())
}

fn decrypt(key: &LessSafeKey, aad: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Broken)?;
    let mut body = Zeroizing::new(body.to_vec());
    let length = key
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut body)
        .map_err(|_| SealError::Broken)?
        .len();
    body.truncate(length);
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(ids: &[&str]) -> KeyRing {
        let keys: Vec<_> =
            ids.iter().map(|id| ((*id).to_owned(), Zeroizing::new(vec![id.as_bytes()[0]; 32]))).collect();
        KeyRing::new(&keys).unwrap()
    }

    #[test]
    fn sealed_texts_open_only_in_their_context() {
        let sealed = ring(&["a"]).seal("job|name", &Secret::new("canary")).unwrap();
        assert!(!sealed.ciphertext.windows(6).any(|w| w == b"canary"));
        assert_eq!(ring(&["a"]).open("job|name", &sealed).unwrap().expose(), "canary");
        assert_eq!(ring(&["a"]).open("job|other", &sealed).unwrap_err(), SealError::Broken);
    }

    #[test]
    fn new_key_seals_while_the_old_one_still_opens() {
        let old = ring(&["a"]).seal("x", &Secret::new("s")).unwrap();
        let both = ring(&["b", "a"]);
        assert_eq!(both.seal("x", &Secret::new("s")).unwrap().key_id, "b");
        assert_eq!(both.open("x", &old).unwrap().expose(), "s");
        assert_eq!(ring(&["b"]).open("x", &old).unwrap_err(), SealError::UnknownKey("a".into()));
    }

    #[test]
    fn changed_byte_is_detected() {
        let mut sealed = ring(&["a"]).seal("x", &Secret::new("s")).unwrap();
        sealed.ciphertext[13] ^= 1;
        assert_eq!(ring(&["a"]).open("x", &sealed).unwrap_err(), SealError::Broken);
        sealed.ciphertext.truncate(3);
        assert_eq!(ring(&["a"]).open("x", &sealed).unwrap_err(), SealError::Broken);
    }
}
