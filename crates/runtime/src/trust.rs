//! Trusted certificates of all outgoing TLS connections.

use std::{
    fmt::{self, Write},
    path::Path,
    sync::{Arc, LazyLock},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};

/// A certificate in DER.
pub(crate) type Certificate = CertificateDer<'static>;

/// The system's certificates, read once.
static SYSTEM: LazyLock<Vec<Certificate>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        tracing::warn!("this system has no certificate authorities to trust: install ca-certificates");
    }
    found.certs
});

/// Certificate authorities that every outgoing TLS connection trusts.
#[derive(Clone)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    pem: Arc<[u8]>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("certificates", &self.roots.len()).finish_non_exhaustive()
    }
}

impl Trust {
    /// Combines the given authorities, or the system's if there are none, with the extra ones.
    pub(crate) fn new(own: Option<Vec<Certificate>>, extra: Vec<Certificate>) -> Self {
        let own = own.unwrap_or_else(|| SYSTEM.clone());
        let (mut roots, mut pem) = (RootCertStore::empty(), String::new());
        for certificate in own.into_iter().chain(extra) {
            // Some systems have certificates that the library cannot parse.
            if roots.add(certificate.clone()).is_ok() {
                write_pem(&mut pem, &certificate);
            }
        }
        Self { roots: Arc::new(roots), pem: pem.into_bytes().into() }
    }

    /// Returns the authorities for a rustls client.
    pub fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone()
    }

    /// Returns the authorities in PEM.
    pub fn pem(&self) -> Arc<[u8]> {
        self.pem.clone()
    }

    /// Returns a TLS client configuration that trusts the authorities.
    ///
    /// # Errors
    /// The crypto library offers no usable TLS version.
    pub fn client_config(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(builder.with_root_certificates(self.roots.clone()).with_no_client_auth())
    }
}

fn write_pem(pem: &mut String, certificate: &Certificate) {
    let text = STANDARD.encode(certificate);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        let _ = writeln!(pem, "{}", String::from_utf8_lossy(line));
    }
    pem.push_str("-----END CERTIFICATE-----\n");
}

/// Reads a PEM file; `None` if it cannot be read or holds no valid certificate.
pub(crate) fn read(path: &Path) -> Option<Vec<Certificate>> {
    let found = rustls_native_certs::load_certs_from_paths(Some(path), None);
    let understood = found.certs.iter().any(|one| RootCertStore::empty().add(one.clone()).is_ok());
    (found.errors.is_empty() && understood).then_some(found.certs)
}
