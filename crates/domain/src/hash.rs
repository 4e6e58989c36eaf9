//! SHA-256 as text.

use std::fmt::Write;

use aws_lc_rs::digest;

/// Returns the SHA-256 of the bytes as 64 hexadecimal characters.
pub fn sha256_hex(bytes: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
