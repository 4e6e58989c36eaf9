//! Keys generated at run time; the repository contains no secrets.

use std::{
    fmt::{self, Debug, Formatter},
    sync::OnceLock,
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::{Engine, engine::general_purpose::STANDARD};

/// Error of creating or reading a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The crypto library could not create or export a key.
    #[error("no key could be made")]
    Unmade,
    /// A key, header or claim set could not be used for signing.
    #[error("cannot sign")]
    Sign(#[from] jsonwebtoken::errors::Error),
    /// No key has this id.
    #[error("unknown key id")]
    UnknownKey,
}

/// RSA key pair of a GitHub App. `Debug` shows neither half.
#[derive(Clone)]
pub struct AppKey {
    private_pem: String,
    public_pem: String,
}

impl AppKey {
    /// Generates a pair of 2,048 bits; takes up to about a second in debug builds.
    ///
    /// # Errors
    /// [`KeyError::Unmade`] if the crypto library fails.
    pub fn generate() -> Result<Self, KeyError> {
        let (private, public) = rsa_der()?;
        Ok(Self { private_pem: pem("PRIVATE KEY", &private), public_pem: pem("PUBLIC KEY", &public) })
    }

    /// Returns the pair of this process, generated once: the default of a twin without a configured key.
    ///
    /// # Errors
    /// [`KeyError::Unmade`] if the crypto library fails.
    pub fn shared() -> Result<Self, KeyError> {
        static PAIR: OnceLock<AppKey> = OnceLock::new();
        if let Some(pair) = PAIR.get() {
            return Ok(pair.clone());
        }
        let made = Self::generate()?;
        Ok(PAIR.get_or_init(|| made).clone())
    }

    /// Returns the private key as PKCS #8 PEM, for the service under test.
    pub fn private_pem(&self) -> &str {
        &self.private_pem
    }

    /// Returns the public key as X.509 SPKI PEM, for [`crate::TwinConfig::app_public_key_pem`].
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }
}

impl Debug for AppKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("AppKey(***)")
    }
}

/// Generates an RSA pair as (PKCS #8 DER, SPKI DER).
pub(crate) fn rsa_der() -> Result<(Vec<u8>, Vec<u8>), KeyError> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Unmade)?;
    let private: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Unmade)?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError::Unmade)?;
    Ok((private.as_ref().to_vec(), public.as_ref().to_vec()))
}

/// Returns PEM with the usual 64 columns.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out + &format!("-----END {label}-----\n")
}

/// Returns lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(b"0123456789abcdef"[usize::from(n)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// Returns `len` random characters of `A-Za-z0-9` and the two of the URL alphabet.
pub(crate) fn opaque(len: usize) -> String {
    let mut bytes = vec![0_u8; len];
    // The system's random source does not fail in practice; zeros are harmless in a fake token.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        bytes.fill(7);
    }
    let mut text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    text.truncate(len);
    text
}
