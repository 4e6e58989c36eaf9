//! A requester's current access to a team.
//!
//! Access can end between the acceptance of a request and its response. It is therefore read again before GitHub is
//! called and before a config is handed out.

use crate::{JobKind, Problem, ProblemCode};

/// Stored rights of one requester for one team.
#[expect(clippy::struct_excessive_bools, reason = "independent columns of three tables")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whether the user or machine client is active.
    pub is_active: bool,
    /// Whether the requester is a viewer, who may change nothing and gets no config.
    pub only_reads: bool,
    /// Whether the requester is a member of the team or an admin.
    pub belongs: bool,
    /// Whether the requester may request JIT configs.
    pub can_use_jit: bool,
    /// Whether the requester may request registration tokens.
    pub can_use_registration_token: bool,
    /// Whether the team is active.
    pub team_is_active: bool,
    /// Reason an admin gave for deactivating the team.
    pub deactivation_reason: Option<String>,
}

impl Access {
    /// Checks that a job of this kind may still create a runner for the requester and hand out its config.
    ///
    /// # Errors
    /// `inactive`, `read_only`, `team_inactive`, `team_forbidden`, `jit_not_allowed` or
    /// `registration_token_not_allowed`; the first that applies, in this order.
    pub fn check(&self, kind: JobKind) -> Result<(), Problem> {
        if !self.is_active {
            return Err(Problem::requester_inactive());
        }
        if self.only_reads {
            return Err(Problem::read_only());
        }
        if !self.team_is_active {
            return Err(Problem::team_inactive(self.deactivation_reason.as_deref()));
        }
        if !self.belongs {
            return Err(Problem::membership_ended());
        }
        match kind {
            JobKind::Provision if !self.can_use_jit => Err(Problem::jit_not_allowed()),
            JobKind::Register if !self.can_use_registration_token => {
                Err(Problem::registration_token_not_allowed())
            }
            _ => Ok(()),
        }
    }
}

/// Refusals of a requester without access. One constructor per refusal keeps the texts equal at admission and later
/// checks.
impl Problem {
    /// Returns `inactive`.
    pub fn requester_inactive() -> Self {
        Self::new(ProblemCode::Inactive, "This user or machine client has been deactivated; ask an admin.")
    }

    /// Returns `read_only`.
    pub fn read_only() -> Self {
        let detail =
            "Viewers see everything, change nothing and get no config; ask an admin for another role.";
        Self::new(ProblemCode::ReadOnly, detail)
    }

    /// Returns `team_inactive` with the reason an admin gave.
    pub fn team_inactive(reason: Option<&str>) -> Self {
        let reason = reason.unwrap_or("no reason given");
        Self::new(
            ProblemCode::TeamInactive,
            format!("The team is deactivated: {reason}. Ask an admin to reactivate it."),
        )
    }

    /// Returns `team_forbidden` for a former member.
    pub fn membership_ended() -> Self {
        Self::new(
            ProblemCode::TeamForbidden,
            "You are no longer a member of this team; ask an admin to add you again.",
        )
    }

    /// Returns `jit_not_allowed`.
    pub fn jit_not_allowed() -> Self {
        Self::new(ProblemCode::JitNotAllowed, "You are not allowed to request JIT configs; ask an admin.")
    }

    /// Returns `registration_token_not_allowed`.
    pub fn registration_token_not_allowed() -> Self {
        let detail = "You are not allowed to request registration tokens; request a JIT config instead, or ask an admin.";
        Self::new(ProblemCode::RegistrationTokenNotAllowed, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Access = Access {
        is_active: true,
        only_reads: false,
        belongs: true,
        can_use_jit: true,
        can_use_registration_token: true,
        team_is_active: true,
        deactivation_reason: None,
    };

    #[test]
    fn each_missing_right_refuses_with_its_code() {
        use JobKind::{Provision, Register};
        let code = |access: Access, kind| access.check(kind).err().map(|problem| problem.code);
        for (access, kind, wanted) in [
            (FULL, Provision, None),
            (Access { is_active: false, ..FULL }, Provision, Some(ProblemCode::Inactive)),
            (Access { only_reads: true, ..FULL }, Provision, Some(ProblemCode::ReadOnly)),
            (Access { team_is_active: false, ..FULL }, Provision, Some(ProblemCode::TeamInactive)),
            (Access { belongs: false, ..FULL }, Register, Some(ProblemCode::TeamForbidden)),
            (Access { can_use_jit: false, ..FULL }, Provision, Some(ProblemCode::JitNotAllowed)),
            (Access { can_use_jit: false, ..FULL }, Register, None),
            (Access { can_use_registration_token: false, ..FULL }, Provision, None),
            (
                Access { can_use_registration_token: false, ..FULL },
                Register,
                Some(ProblemCode::RegistrationTokenNotAllowed),
            ),
        ] {
            assert_eq!(code(access.clone(), kind), wanted, "{kind} with {access:?}");
        }
    }
}
