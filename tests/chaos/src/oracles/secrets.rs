//! The private key inside a config.

use super::Verdict;
use crate::evidence::Evidence;

/// The canary is in no log, metric, row, queue or error. It counts only if the search finds it where it is: in configs.
pub(super) fn canary_is_nowhere(evidence: &Evidence) -> Verdict {
    let known = evidence.told.recognised > 0 && evidence.told.recognised == evidence.told.handed_out;
    let searched = if known { evidence.searched } else { 0 };
    Verdict::new("the canary is nowhere but in configs", searched, evidence.leaks.clone())
}

/// Every stranger who wanted a config was turned away; one who was not is among the broken promises callers saw.
pub(super) fn strangers_get_nothing(evidence: &Evidence) -> Verdict {
    let offenders = evidence.told.broken.iter().filter(|text| text.starts_with("a stranger")).cloned();
    Verdict::new("strangers get no config", evidence.told.turned_away, offenders.collect())
}
