//! Errors of credentials that cannot be used.

use std::{io, path::PathBuf};

/// Failure to read or use a credential.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("the credential {path} cannot be read: {reason}")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Error of the operating system.
        reason: io::ErrorKind,
    },
    /// All users of the machine may read the file.
    #[error("the credential {0} is readable by everyone: chmod it to 0400, or allow it explicitly")]
    WorldReadable(PathBuf),
    /// The file is larger than any key or token.
    #[error("the credential {0} is larger than 64 KiB")]
    TooLarge(PathBuf),
    /// Not an RSA private key in PEM.
    #[error("the private key is not an RSA key in PEM")]
    NotRsa,
    /// The token is empty, or has characters that no header can carry.
    #[error("the personal access token is empty or holds characters that cannot be sent")]
    NoToken,
}
