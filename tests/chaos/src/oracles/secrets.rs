//! The private key inside a config.

use super::Verdict;
use crate::evidence::Evidence;

/// The canary is in no log, metric, row, queue or error.
pub(super) fn canary_is_nowhere(evidence: &Evidence) -> Verdict {
    Verdict::new("the canary is nowhere", evidence.searched, evidence.leaks.clone())
}
