//! Roles of users.

use crate::{Caller, Requester, User, string_enum::string_enum};

string_enum! {
    /// Role of a person.
    #[derive(Default, utoipa::ToSchema)]
    #[schema(rename_all = "lowercase")]
    Role {
        /// Sees and uses their own teams.
        #[default]
        Member = "member",
        /// Sees everything, changes nothing and gets no config.
        Viewer = "viewer",
        /// May do everything.
        Admin = "admin",
    }
}

impl Role {
    /// Returns the role of a user with these flags. An admin who is also a viewer is an admin.
    pub const fn of(is_admin: bool, is_viewer: bool) -> Self {
        match (is_admin, is_viewer) {
            (true, _) => Self::Admin,
            (false, true) => Self::Viewer,
            (false, false) => Self::Member,
        }
    }
}

impl User {
    /// Returns the role of the user.
    pub const fn role(&self) -> Role {
        Role::of(self.is_admin, self.is_viewer)
    }
}

impl Caller {
    /// Returns the role of a user as text, or `machine_client`.
    pub const fn role_name(&self) -> &'static str {
        match self.requester {
            Requester::User(_) => Role::of(self.is_admin, self.is_viewer).as_str(),
            Requester::Client(_) => "machine_client",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_outweighs_viewer() {
        assert_eq!(Role::of(true, true), Role::Admin);
        assert_eq!(Role::of(false, true), Role::Viewer);
        assert_eq!(Role::of(false, false), Role::Member);
        assert_eq!("viewer".parse(), Ok(Role::Viewer));
    }
}
