//! A private certificate authority, for servers with TLS.

use devstack::ServerTls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// A certificate authority that exists for one test.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// Returns a new authority with this name.
    ///
    /// # Panics
    /// When no key can be made.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Returns the authority's own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Returns a certificate for servers with these host names or addresses.
    ///
    /// # Panics
    /// When a name is not a host name.
    pub fn issue(&self, hosts: &[&str]) -> ServerTls {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(hosts).unwrap().signed_by(&key, &self.0).unwrap();
        ServerTls { authority: self.pem(), certificate: certificate.pem(), private_key: key.serialize_pem() }
    }
}
