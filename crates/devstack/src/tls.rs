//! TLS listeners of private servers, for tests of encrypted connections.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

use crate::{Error, account::Account, ports::free_port, postgres};

/// Who may connect to PostgreSQL: the owner of the folder without a password, others with TLS and a password.
const ACCESS: &str = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";

/// Certificate of servers.
#[derive(Clone)]
pub struct ServerTls {
    /// Certificate of the authority, in PEM: Redis servers check each other's.
    pub authority: String,
    /// Certificate, in PEM.
    pub certificate: String,
    /// Its private key, in PEM.
    pub private_key: String,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

/// Ports on loopback that speak TLS only.
#[derive(Clone, Copy, Debug)]
pub struct TlsPorts {
    /// PostgreSQL's port.
    pub postgres: u16,
    /// Redis's port.
    pub redis: u16,
}

/// Certificate files in a folder of servers.
#[derive(Clone, Debug)]
pub(crate) struct CertificateFiles {
    authority: PathBuf,
    certificate: PathBuf,
    private_key: PathBuf,
}

/// TLS listeners of a stack.
#[derive(Clone, Debug)]
pub(crate) struct TlsListeners {
    files: CertificateFiles,
    access: PathBuf,
    ports: TlsPorts,
}

impl CertificateFiles {
    pub(crate) fn write(tls: &ServerTls, dir: &Path, account: Account) -> Result<Self, Error> {
        Ok(Self {
            authority: write(dir.join("authority.crt"), &tls.authority, account)?,
            certificate: write(dir.join("server.crt"), &tls.certificate, account)?,
            private_key: write(dir.join("server.key"), &tls.private_key, account)?,
        })
    }

    /// Returns the settings of a Redis server or Sentinel that accepts any client on its TLS port, as pairs of name and
    /// value.
    pub(crate) fn redis_settings(&self, port: u16) -> Vec<(&'static str, OsString)> {
        vec![
            ("tls-port", port.to_string().into()),
            ("tls-auth-clients", "no".into()),
            ("tls-ca-cert-file", self.authority.clone().into()),
            ("tls-cert-file", self.certificate.clone().into()),
            ("tls-key-file", self.private_key.clone().into()),
        ]
    }
}

/// Writes a file that only the servers' account can read, and returns its path.
fn write(path: PathBuf, text: &str, account: Account) -> Result<PathBuf, Error> {
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(&path).map_err(Error::file("create", &path))?;
    file.write_all(text.as_bytes()).map_err(Error::file("write", &path))?;
    account.take_ownership(&path)?;
    Ok(path)
}

impl TlsListeners {
    /// Writes the files into the folder of the stack and chooses ports.
    pub(crate) fn prepare(tls: &ServerTls, dir: &Path, account: Account) -> Result<Self, Error> {
        let port = || free_port().ok_or(Error::NoPort);
        Ok(Self {
            files: CertificateFiles::write(tls, dir, account)?,
            access: write(dir.join("pg_hba.conf"), ACCESS, account)?,
            ports: TlsPorts { postgres: port()?, redis: port()? },
        })
    }

    pub(crate) fn ports(&self) -> TlsPorts {
        self.ports
    }

    /// Returns the settings of PostgreSQL, which override earlier ones.
    pub(crate) fn postgres_settings(&self) -> Vec<OsString> {
        let file = |name: &str, path: &Path| {
            let mut setting = OsString::from(format!("{name}="));
            setting.push(path);
            setting
        };
        vec![
            format!("port={}", self.ports.postgres).into(),
            "listen_addresses=127.0.0.1".into(),
            "ssl=on".into(),
            file("ssl_cert_file", &self.files.certificate),
            file("ssl_key_file", &self.files.private_key),
            file("hba_file", &self.access),
        ]
    }

    /// Returns the arguments of Redis.
    pub(crate) fn redis_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--bind".into(), "127.0.0.1".into()];
        for (name, value) in self.files.redis_settings(self.ports.redis) {
            arguments.extend([format!("--{name}").into(), value]);
        }
        arguments
    }

    /// Gives PostgreSQL's socket its usual name: its real name has the port of the listener.
    pub(crate) fn link_socket(&self, dir: &Path) -> Result<(), Error> {
        for (link, suffix) in [(postgres::SOCKET, ""), (postgres::SOCKET_LOCK, ".lock")] {
            let link = dir.join(link);
            let _ = fs::remove_file(&link);
            let target = format!(".s.PGSQL.{}{suffix}", self.ports.postgres);
            symlink(target, &link).map_err(Error::file("link", &link))?;
        }
        Ok(())
    }
}
