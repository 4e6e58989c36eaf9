//! Advice on failed jobs: what an operator does about each cause.

use super::ProblemCode;

impl ProblemCode {
    /// Returns what an operator does about jobs that ended with this code.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::GithubRefused => {
                "Read GitHub's message. For a missing permission, give the App \"Self-hosted runners: write\" and \
                 let the organisation accept it; for an unknown runner group, correct the team's groups."
            }
            Self::GithubUnavailable => {
                "Nothing here is wrong if GitHub's status page shows an incident. Otherwise look at the network, at \
                 /api/v1/admin/budget, and for workers without the installation's credential."
            }
            Self::RunnerNameConflict => {
                "Another runner on GitHub has the name. The caller takes another name, or a prefix instead of a name."
            }
            Self::JobPoisoned => {
                "Three workers died while they ran the job. Keep the log of the last one, look for kills for lack of \
                 memory, and report it."
            }
            Self::JobExpired => {
                "The job waited beyond its deadline. See /api/v1/admin/verdict: a pause, GitHub's limits, or too few \
                 workers."
            }
            Self::RunnerBusy => {
                "The runner ran workflow jobs the whole time. Cancel its workflow run on GitHub, then remove it again."
            }
            Self::DatabaseUnavailable => {
                "The database did not answer while the job ran. Look at its log and its connections, then retry."
            }
            Self::Inactive | Self::ReadOnly | Self::TeamInactive | Self::TeamForbidden => {
                "The requester lost access after the request was accepted. Nothing is wrong if that was intended."
            }
            Self::JitNotAllowed
            | Self::RegistrationTokenNotAllowed
            | Self::RegistrationTokensDisabled
            | Self::LabelPolicyViolation
            | Self::RunnerGroupNotAllowed
            | Self::QuotaExceeded => {
                "The rules changed after the request was accepted. Change the team's policy, or discard the job."
            }
            Self::CredentialKeyMissing => "Give every process the same CREDENTIAL_KEYS, then retry.",
            Self::InternalError => "Look for the job's id in the workers' log, and report what you find.",
            _ => "Look at the example job, and for its id in the workers' log.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_advice_in_whole_sentences() {
        for code in ProblemCode::ALL {
            let advice = code.remedy();
            assert!(advice.ends_with('.') && advice.len() < 300, "{}: {advice}", code.as_str());
            assert!(!advice.contains("  "), "{}: {advice}", code.as_str());
        }
    }
}
