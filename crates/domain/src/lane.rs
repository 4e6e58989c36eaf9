//! Job kinds and lanes, and the `string_enum!` macro for enums with a fixed text per value.

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

string_enum! {
    /// Kind of a job.
    JobKind {
        /// Creates one JIT runner config.
        Provision = "provision",
        /// Creates one registration token.
        Register = "register",
        /// Removes one runner from GitHub.
        Deprovision = "deprovision",
        /// Compares one runner with its state on GitHub.
        DriftCheck = "drift_check",
    }
}

string_enum! {
    /// Class of work with its own queue and a guaranteed share of the GitHub budget.
    Lane {
        /// Provision jobs.
        Provision = "provision",
        /// Deprovision jobs.
        Deprovision = "deprovision",
        /// Drift checks.
        Drift = "drift",
    }
}

impl JobKind {
    /// Returns the lane of jobs of this kind.
    pub const fn lane(self) -> Lane {
        match self {
            Self::Provision | Self::Register => Lane::Provision,
            Self::Deprovision => Lane::Deprovision,
            Self::DriftCheck => Lane::Drift,
        }
    }

    /// Returns whether a job of this kind creates its runner.
    pub const fn makes_runner(self) -> bool {
        matches!(self, Self::Provision | Self::Register)
    }
}

impl Lane {
    /// Returns the guaranteed share of the GitHub budget, in percent.
    pub const fn share(self) -> u32 {
        match self {
            Self::Provision => 60,
            Self::Deprovision => 25,
            Self::Drift => 15,
        }
    }
}
