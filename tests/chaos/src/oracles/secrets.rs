//! Oracles about the private key inside a config.

use super::Verdict;
use crate::evidence::Evidence;

/// No log, metric, row, queue or error contains the canary. The search must also find it where it belongs: in configs.
pub(super) fn canary_is_nowhere(evidence: &Evidence) -> Verdict {
    let known =
        evidence.responses.recognised > 0 && evidence.responses.recognised == evidence.responses.handed_out;
    let searched = if known { evidence.searched } else { 0 };
    Verdict::new("the canary is nowhere but in configs", searched, evidence.leaks.clone())
}

/// Every unauthorised request for a config was refused; violations are among the failures that callers saw.
pub(super) fn strangers_get_nothing(evidence: &Evidence) -> Verdict {
    let offenders = evidence.responses.broken.iter().filter(|text| text.starts_with("a stranger")).cloned();
    Verdict::new("strangers get no config", evidence.responses.turned_away, offenders.collect())
}
