//! The role of a user, as a request states it.

use domain::{FieldError, Role};

/// The role that a request states, by name or by the two flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatedRole {
    /// The role by name.
    pub role: Option<Role>,
    /// Whether the user is an admin.
    pub is_admin: Option<bool>,
    /// Whether the user is a viewer.
    pub is_viewer: Option<bool>,
}

/// The flags of a user's role; `None` keeps the value that the user has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleFlags {
    /// Whether the user is an admin.
    pub is_admin: Option<bool>,
    /// Whether the user is a viewer.
    pub is_viewer: Option<bool>,
}

impl StatedRole {
    /// Returns the flags to store. A role by name sets both.
    ///
    /// # Errors
    /// `/role` if the role contradicts a flag that was sent with it.
    pub fn flags(self) -> Result<RoleFlags, FieldError> {
        let Some(role) = self.role else {
            return Ok(RoleFlags { is_admin: self.is_admin, is_viewer: self.is_viewer });
        };
        let (is_admin, is_viewer) = (role == Role::Admin, role == Role::Viewer);
        let agrees = self.is_admin.is_none_or(|sent| sent == is_admin)
            && self.is_viewer.is_none_or(|sent| sent == is_viewer);
        if agrees {
            Ok(RoleFlags { is_admin: Some(is_admin), is_viewer: Some(is_viewer) })
        } else {
            Err(FieldError::new("/role", "contradicts `is_admin` or `is_viewer`; send `role` alone"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_sets_both_flags_and_contradicts_neither() {
        let flags = |role, is_admin, is_viewer| StatedRole { role, is_admin, is_viewer }.flags();
        let both = |is_admin, is_viewer| RoleFlags { is_admin: Some(is_admin), is_viewer: Some(is_viewer) };
        assert_eq!(flags(Some(Role::Viewer), None, None), Ok(both(false, true)));
        assert_eq!(flags(Some(Role::Admin), Some(true), None), Ok(both(true, false)));
        assert_eq!(flags(Some(Role::Member), None, None), Ok(both(false, false)));
        assert_eq!(flags(None, Some(true), None), Ok(RoleFlags { is_admin: Some(true), is_viewer: None }));
        assert_eq!(flags(Some(Role::Member), Some(true), None).unwrap_err().pointer, "/role");
        assert_eq!(flags(Some(Role::Admin), None, Some(true)).unwrap_err().pointer, "/role");
    }
}
