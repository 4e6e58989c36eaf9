//! The process's limit of open files. Each connection needs one, so a low limit stops the service long before memory
//! does.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Limit assumed if the system does not report one.
const ASSUMED_LIMIT: u64 = 1_024;

/// Raises the soft limit to the hard limit and returns the resulting soft limit.
pub fn raise_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return ASSUMED_LIMIT };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return hard;
    }
    soft
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raised_limit_equals_the_hard_limit() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(raise_limit(), hard);
    }
}
