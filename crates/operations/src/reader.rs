//! The permissions to read what belongs to others.

use domain::{Caller, Problem, ProblemCode, Team};

/// The permission to read everything. Admins and viewers have it. A value of this type is the permission.
#[derive(Clone, Copy, Debug)]
pub struct Viewer(());

impl Viewer {
    /// Returns the permission of an admin or a viewer.
    ///
    /// # Errors
    /// `admin_required` for other callers.
    pub fn from_caller(caller: &Caller) -> Result<Self, Problem> {
        if caller.sees_everything() {
            return Ok(Self(()));
        }
        let detail =
            "This call needs an admin or a viewer; ask an admin to make it, or to give you the role.";
        Err(Problem::new(ProblemCode::AdminRequired, detail))
    }
}

/// The permission to read one team: its policy, members, audit rows and security events. Admins, viewers and its
/// members have it. A value of this type is the permission.
#[derive(Clone, Debug)]
pub struct TeamReader(Team);

impl TeamReader {
    /// Returns the permission of a caller to read a team that was looked up.
    ///
    /// # Errors
    /// `not_found` if there is no such team or the caller does not belong to it; both read alike.
    pub fn from_caller(caller: &Caller, team: Option<Team>) -> Result<Self, Problem> {
        let seen = team.filter(|team| caller.may_see(Some(team.id), None));
        seen.map(Self).ok_or_else(|| Problem::not_found("team"))
    }

    /// Returns the team.
    pub const fn team(&self) -> &Team {
        &self.0
    }

    /// Returns the team itself.
    pub fn into_team(self) -> Team {
        self.0
    }
}
