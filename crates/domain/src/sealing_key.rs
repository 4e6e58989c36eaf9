//! Configs sealed to a requester's own key by HPKE (RFC 9180): DHKEM(X25519), HKDF-SHA256, AES-256-GCM, base mode.
//!
//! Nothing that the service holds opens such a config. `rustls` implements HPKE on the crypto library of the whole
//! program.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256,
    hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::{SealError, Sealed, Secret};

static SUITE: &dyn Hpke = DH_KEM_X25519_HKDF_SHA256_AES_256;
/// Begin of HPKE's `info`.
const PURPOSE: &str = "runner-token-service jit-config v1";
/// Bytes of a public key, a private key and an encapsulated key.
const KEY_BYTES: usize = 32;
/// Key id of a stored config that is sealed to its requester. Ids of `CREDENTIAL_KEYS` hold no colon.
const REQUESTER_KEY_ID: &str = "hpke:x25519";

const KEM: &str = "DHKEM(X25519, HKDF-SHA256)";
const KDF: &str = "HKDF-SHA256";
const AEAD: &str = "AES-256-GCM";

/// Public X25519 key to which one config is sealed.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SealingKey([u8; KEY_BYTES]);

/// Reason a text is no public key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadSealingKey {
    /// The text is not the padded base64 of 32 bytes.
    #[error("the padded base64 of the 32 bytes of an X25519 public key")]
    Encoding,
    /// The key is a point of low order: the result of every key agreement with it is known.
    #[error("a point of low order is no key; generate a new key pair")]
    LowOrder,
}

impl SealingKey {
    /// Seals a config for `context`.
    ///
    /// # Errors
    /// [`SealError::Broken`] if the cryptographic library refuses the key.
    pub fn seal(&self, context: &str, secret: &Secret) -> Result<Sealed, SealError> {
        let key = HpkePublicKey(self.0.to_vec());
        let sealed = SUITE.seal(&info(context), &[], secret.expose().as_bytes(), &key);
        let (encapsulated, ciphertext) = sealed.map_err(|_| SealError::Broken)?;
        Ok(Sealed { key_id: REQUESTER_KEY_ID.to_owned(), wrapped_key: encapsulated.0, ciphertext })
    }

    fn decode(text: &str) -> Result<Self, BadSealingKey> {
        decode(text).map(|bytes| Self(*bytes)).ok_or(BadSealingKey::Encoding)
    }
}

/// The context is bound by `info`, since some libraries offer no `aad` in their short form.
fn info(context: &str) -> Vec<u8> {
    format!("{PURPOSE}|{context}").into_bytes()
}

fn decode(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    bytes.as_slice().try_into().ok().map(Zeroizing::new)
}

impl FromStr for SealingKey {
    type Err = BadSealingKey;

    fn from_str(text: &str) -> Result<Self, BadSealingKey> {
        let key = Self::decode(text)?;
        // The library refuses the shared secret of such a point, so a trial shows it before a job exists.
        key.seal("", &Secret::new("")).map_err(|_| BadSealingKey::LowOrder)?;
        Ok(key)
    }
}

impl TryFrom<String> for SealingKey {
    type Error = BadSealingKey;

    fn try_from(text: String) -> Result<Self, BadSealingKey> {
        Self::decode(&text)
    }
}

impl From<SealingKey> for String {
    fn from(key: SealingKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({self})")
    }
}

/// A key pair for one request: its public key is sent, its private key opens the config.
pub struct SealingKeyPair {
    public: SealingKey,
    private: Zeroizing<[u8; KEY_BYTES]>,
}

impl SealingKeyPair {
    /// Generates a key pair.
    ///
    /// # Errors
    /// [`SealError::BadKey`] if the cryptographic library fails.
    pub fn generate() -> Result<Self, SealError> {
        let (public, private) = SUITE.generate_key_pair().map_err(|_| SealError::BadKey)?;
        let public = public.0.as_slice().try_into().map_err(|_| SealError::BadKey)?;
        let private = private.secret_bytes().try_into().map_err(|_| SealError::BadKey)?;
        Ok(Self { public: SealingKey(public), private: Zeroizing::new(private) })
    }

    /// Reads the text of [`Self::to_secret`]. Returns `None` for any other text.
    pub fn from_secret(text: &str) -> Option<Self> {
        let (public, private) = text.split_once('.')?;
        Some(Self { public: SealingKey::decode(public).ok()?, private: decode(private)? })
    }

    /// Returns both keys as one line of text.
    pub fn to_secret(&self) -> Secret {
        let private = Zeroizing::new(STANDARD.encode(*self.private));
        Secret::new(format!("{}.{}", self.public, private.as_str()))
    }

    /// Returns the public key.
    pub const fn public(&self) -> SealingKey {
        self.public
    }

    /// Opens a config that was sealed to this pair for `context`.
    ///
    /// # Errors
    /// [`SealError::Broken`] for another suite, key or context, or changed bytes.
    pub fn open(&self, context: &str, sealed: &SealedConfig) -> Result<Secret, SealError> {
        if (sealed.kem.as_str(), sealed.kdf.as_str(), sealed.aead.as_str()) != (KEM, KDF, AEAD) {
            return Err(SealError::Broken);
        }
        let bytes = |text: &str| STANDARD.decode(text).map_err(|_| SealError::Broken);
        let encapsulated = EncapsulatedSecret(bytes(&sealed.enc)?);
        let key = HpkePrivateKey::from(self.private.to_vec());
        let plain = SUITE.open(&encapsulated, &info(context), &[], &bytes(&sealed.ciphertext)?, &key);
        let plain = Zeroizing::new(plain.map_err(|_| SealError::Broken)?);
        std::str::from_utf8(&plain).map(Secret::new).map_err(|_| SealError::Broken)
    }
}

impl fmt::Debug for SealingKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKeyPair({})", self.public)
    }
}

/// A JIT config, sealed to the `sealing_key` of the request by HPKE (RFC 9180, base mode).
///
/// `info` is `runner-token-service jit-config v1|job_id|runner_id|runner_name` with the values of this response, and
/// `aad` is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SealedConfig {
    /// Key encapsulation: `DHKEM(X25519, HKDF-SHA256)`, 0x0020.
    #[schema(example = "DHKEM(X25519, HKDF-SHA256)")]
    pub kem: String,
    /// Key derivation: `HKDF-SHA256`, 0x0001.
    #[schema(example = "HKDF-SHA256")]
    pub kdf: String,
    /// Encryption: `AES-256-GCM`, 0x0002.
    #[schema(example = "AES-256-GCM")]
    pub aead: String,
    /// Encapsulated key, as base64.
    pub enc: String,
    /// Ciphertext of the encoded JIT config, as base64.
    pub ciphertext: String,
}

impl SealedConfig {
    /// Returns the form that callers get, or `None` for a secret that is sealed to a key of the service.
    pub fn of(sealed: &Sealed) -> Option<Self> {
        (sealed.key_id == REQUESTER_KEY_ID).then(|| Self {
            kem: KEM.to_owned(),
            kdf: KDF.to_owned(),
            aead: AEAD.to_owned(),
            enc: STANDARD.encode(&sealed.wrapped_key),
            ciphertext: STANDARD.encode(&sealed.ciphertext),
        })
    }
}

/// Returns the context that a config is sealed for: the ids of job and runner, and the runner's name.
pub fn sealed_config_context(job: impl fmt::Display, runner: impl fmt::Display, name: &str) -> String {
    format!("{job}|{runner}|{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: &str = "job|runner|name";

    fn sealed(key: SealingKey) -> SealedConfig {
        SealedConfig::of(&key.seal(CONTEXT, &Secret::new("canary")).unwrap()).unwrap()
    }

    #[test]
    fn sealed_config_opens_with_its_pair_in_its_context_alone() {
        let (pair, other) = (SealingKeyPair::generate().unwrap(), SealingKeyPair::generate().unwrap());
        let config = sealed(pair.public());
        assert_eq!(pair.open(CONTEXT, &config).unwrap().expose(), "canary");
        assert_eq!(pair.open("job|runner|other", &config).unwrap_err(), SealError::Broken);
        assert_eq!(other.open(CONTEXT, &config).unwrap_err(), SealError::Broken);
        let again = SealingKeyPair::from_secret(pair.to_secret().expose()).unwrap();
        assert_eq!(again.open(CONTEXT, &config).unwrap().expose(), "canary");
        assert!(!format!("{pair:?}").contains(&STANDARD.encode(*pair.private)));
    }

    #[test]
    fn changed_config_and_other_suites_are_refused() {
        let pair = SealingKeyPair::generate().unwrap();
        let good = sealed(pair.public());
        let flip = |text: &str| {
            let mut bytes = STANDARD.decode(text).unwrap();
            bytes[0] ^= 1;
            STANDARD.encode(bytes)
        };
        let changed = [
            SealedConfig { enc: flip(&good.enc), ..good.clone() },
            SealedConfig { enc: String::new(), ..good.clone() },
            SealedConfig { ciphertext: flip(&good.ciphertext), ..good.clone() },
            SealedConfig { ciphertext: "?".to_owned(), ..good.clone() },
            SealedConfig { aead: "AES-128-GCM".to_owned(), ..good },
        ];
        for config in changed {
            assert_eq!(pair.open(CONTEXT, &config).unwrap_err(), SealError::Broken, "{config:?}");
        }
    }

    #[test]
    fn keys_of_bad_encoding_or_low_order_are_refused() {
        for text in ["", "AAAA", "not base64!", &STANDARD.encode([1; 31]), &STANDARD.encode([1; 33])] {
            assert_eq!(text.parse::<SealingKey>().unwrap_err(), BadSealingKey::Encoding, "{text}");
        }
        let unpadded = STANDARD.encode([9; 32]).trim_end_matches('=').to_owned();
        assert_eq!(unpadded.parse::<SealingKey>().unwrap_err(), BadSealingKey::Encoding);
        // Points of order 1, 2, 4 and 8, as RFC 7748 and its errata list them.
        let low = [
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "4Ot6fDtBuK4WVuP68Z/EatoJjeucMrH9hmIFFl9JuAA=",
            "X5yVvKNQjCSx0LFVnIPvWwREXMRYHI6G2CJO3dCfEVc=",
            "7P///////////////////////////////////////38=",
        ];
        for text in low {
            assert_eq!(text.parse::<SealingKey>().unwrap_err(), BadSealingKey::LowOrder, "{text}");
        }
    }

    #[test]
    fn config_sealed_by_another_implementation_opens() {
        // By pyca/cryptography 48, from the private key of bytes 1 to 32.
        let pair = SealingKeyPair::from_secret(
            "B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9/AsrhtHHw=.AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
        );
        let config = SealedConfig {
            kem: KEM.to_owned(),
            kdf: KDF.to_owned(),
            aead: AEAD.to_owned(),
            enc: "sAisHiLbQ4yBSGYkNoCspqJ8xA3RBJxSXclg2egvIzA=".to_owned(),
            ciphertext: "GmhCDPjDiENw3PrBOt+5O0pIdFQUfw==".to_owned(),
        };
        assert_eq!(pair.unwrap().open(CONTEXT, &config).unwrap().expose(), "canary");
    }
}
