//! Passwords in files, which are read again for new connections.

use std::{fs, path::PathBuf, sync::Arc};

use domain::{PasswordSource, Secret};
use zeroize::Zeroizing;

/// Largest password file, in bytes. Tokens of cloud providers have some 2,000.
const MAX_BYTES: u64 = 64 * 1024;

/// Returns a source that reads the file each time, without the line break at its end. It blocks for the time of a read.
pub fn password_file(path: PathBuf) -> PasswordSource {
    Arc::new(move || read(&path))
}

/// Reads a password; `None` if the file is missing, too large, empty or no text.
pub(crate) fn read(path: &std::path::Path) -> Option<Secret> {
    if fs::metadata(path).ok()?.len() > MAX_BYTES {
        return None;
    }
    let text = Zeroizing::new(fs::read_to_string(path).ok()?);
    let password = text.trim_end_matches(['\n', '\r']);
    (!password.is_empty()).then(|| Secret::new(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_read_each_time_without_its_line_break() {
        let path = std::env::temp_dir().join(format!("rts-password-{}", rand::random::<u64>()));
        let source = password_file(path.clone());
        assert!(source().is_none());
        fs::write(&path, "first \r\n").unwrap();
        assert_eq!(source().unwrap().expose(), "first ");
        fs::write(&path, "second").unwrap();
        assert_eq!(source().unwrap().expose(), "second");
        fs::write(&path, "\n").unwrap();
        assert!(source().is_none(), "half written");
        fs::remove_file(path).unwrap();
    }
}
