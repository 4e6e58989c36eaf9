//! Keys and random texts made at run time.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

/// The crypto library could not create or export a key.
#[derive(Debug, thiserror::Error)]
#[error("no key could be made")]
pub struct KeyError;

/// RSA key pair of 2,048 bits.
#[derive(Clone)]
pub struct RsaPair {
    /// Private half as PKCS #8 DER.
    pub private: Vec<u8>,
    /// Public half as SPKI DER.
    pub public: Vec<u8>,
}

impl RsaPair {
    /// Generates a pair; takes up to about a second in debug builds.
    ///
    /// # Errors
    /// [`KeyError`] if the crypto library fails.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError)?;
        let private: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError)?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError)?;
        Ok(Self { private: private.as_ref().to_vec(), public: public.as_ref().to_vec() })
    }

    /// Returns the private half as PEM.
    pub fn private_pem(&self) -> String {
        pem("PRIVATE KEY", &self.private)
    }

    /// Returns the public half as PEM.
    pub fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &self.public)
    }
}

/// Returns PEM with the usual 64 columns.
fn pem(label: &str, der: &[u8]) -> String {
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

/// Returns `len` random characters of `A-Za-z0-9` and the two of the URL alphabet.
pub fn random_text(len: usize) -> String {
    let mut bytes = vec![0_u8; len];
    // The system's random source does not fail in practice; a known text is harmless in a fake token.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        bytes.fill(7);
    }
    let mut text = URL_SAFE_NO_PAD.encode(bytes);
    text.truncate(len);
    text
}
