//! The `string_enum!` macro: enums with one fixed text per value.

macro_rules! string_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// Returns the text used in the API, the stores, logs and metrics.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $word),+ } }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.as_str()) }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::ParseEnumError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|v| v.as_str() == text)
                    .ok_or_else(|| $crate::ParseEnumError { what: stringify!($name), word: text.to_owned() })
            }
        }
    };
}
pub(crate) use string_enum;

/// A text that is not a value of a string enum.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{word}` is not a valid {what}")]
pub struct ParseEnumError {
    /// Name of the enum.
    pub what: &'static str,
    /// The refused text.
    pub word: String,
}
