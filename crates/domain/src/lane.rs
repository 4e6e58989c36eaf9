//! Lanes: the classes of work that jobs queue in.

use crate::string_enum::string_enum;

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
