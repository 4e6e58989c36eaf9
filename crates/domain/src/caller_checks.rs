//! Checks of the caller of a request for a runner, before its team's policy.

use crate::{Caller, Check, CheckKind, JobKind, Problem, ProblemCode, TeamId, first_refusal};

/// Checks of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerChecks {
    /// The checks, in the order in which they refuse.
    pub checks: Vec<Check>,
    /// The team of the request, if the caller belongs to it.
    pub team: Option<TeamId>,
}

impl CallerChecks {
    /// Returns the team of the request.
    ///
    /// # Errors
    /// The refusal of the first check that failed.
    pub fn admit(self) -> Result<TeamId, Problem> {
        match (first_refusal(&self.checks), self.team) {
            (Some(problem), _) => Err(problem),
            (None, team) => team.ok_or_else(Problem::unknown_team),
        }
    }
}

impl Problem {
    /// Returns the refusal of a request for a team that does not exist.
    pub fn unknown_team() -> Self {
        Self::new(ProblemCode::TeamForbidden, "No team with this id.")
    }
}

impl Caller {
    /// Checks that every call of the caller is allowed: `refusal` is the reason why none is. A viewer may only read.
    pub fn check_standing(&self, refusal: Option<Problem>) -> Vec<Check> {
        let read_only = self.only_reads().then(Problem::read_only);
        vec![
            Check::new(CheckKind::Requester, "active").of(&self.identity).refused(refusal),
            Check::new(CheckKind::Role, "the role may request runners").refused(read_only),
        ]
    }

    /// Checks that the caller may register a runner in this way and acts for the named team, or for its only one.
    /// `registration_tokens` says whether the deployment hands out registration tokens.
    pub fn check_request(
        &self,
        kind: JobKind,
        registration_tokens: bool,
        named: Option<TeamId>,
    ) -> CallerChecks {
        let team = self.choose_team(named);
        let member = Check::new(CheckKind::Membership, "a member of the team").of(&self.identity);
        let member = member.refused(team.as_ref().err().cloned());
        let registration = self.check_registration(kind, registration_tokens);
        CallerChecks { checks: vec![registration, member], team: team.ok() }
    }

    fn check_registration(&self, kind: JobKind, registration_tokens: bool) -> Check {
        let (detail, refusal) = match kind {
            JobKind::Register if !registration_tokens => {
                let detail = "Registration tokens are disabled here; request a JIT config instead.";
                (detail, Some(Problem::new(ProblemCode::RegistrationTokensDisabled, detail)))
            }
            JobKind::Register => (
                "may request registration tokens",
                (!self.can_use_registration_token).then(Problem::registration_token_not_allowed),
            ),
            _ => ("may request JIT configs", (!self.can_use_jit).then(Problem::jit_not_allowed)),
        };
        Check::new(CheckKind::Registration, detail).of(kind).refused(refusal)
    }
}
