//! Why a credential cannot be used.

use std::{io, path::PathBuf};

/// Why the key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("the credential {path} cannot be read: {reason}")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The system's word for it.
        reason: io::ErrorKind,
    },
    /// Everyone on the machine may read the file.
    #[error("the credential {0} is readable by everyone: chmod it to 0400, or allow it explicitly")]
    WorldReadable(PathBuf),
    /// No key or token is that large.
    #[error("the credential {0} is larger than 64 KiB")]
    TooLarge(PathBuf),
    /// Not an RSA private key in PEM.
    #[error("the private key is not an RSA key in PEM")]
    NotRsa,
    /// Empty, or with characters no header can carry.
    #[error("the personal access token is empty or holds characters that cannot be sent")]
    NoToken,
}
