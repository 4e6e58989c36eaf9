//! A text type for secrets, protected against leaks by logging and serialisation.

use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

/// A secret text. It prints as `***`, has no serialised form and is wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }
    /// Returns the text itself. Every call must be reviewed for leaks.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Source of a password that may change, such as a file that is read again. `None` while there is none.
pub type PasswordSource = Arc<dyn Fn() -> Option<Secret> + Send + Sync>;

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
