//! Key pair of the twin's GitHub App.

use std::{
    fmt::{self, Debug, Formatter},
    sync::OnceLock,
};

use dev_http::keys::{KeyError, RsaPair};

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
    /// [`KeyError`] if the crypto library fails.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = RsaPair::generate()?;
        Ok(Self { private_pem: pair.private_pem(), public_pem: pair.public_pem() })
    }

    /// Returns the pair of this process, generated once: the default of a twin without a configured key.
    ///
    /// # Errors
    /// [`KeyError`] if the crypto library fails.
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

/// Returns lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(b"0123456789abcdef"[usize::from(n)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}
