//! Event names of the predecessor service, accepted by list filters as aliases of the current ones.

/// A predecessor's event name, the current event type, and the outcome that the old name implies.
type Alias = (&'static str, &'static str, Option<bool>);

/// Aliases of audit event types.
pub const AUDIT_ALIASES: [Alias; 11] = [
    ("provision_jit", "runner.provision", Some(true)),
    ("provision_jit_failed", "runner.provision", Some(false)),
    ("deprovision", "runner.deprovision", Some(true)),
    ("deprovision_failed", "runner.deprovision", Some(false)),
    ("update_status_failed", "runner.refresh", Some(false)),
    ("user_deactivated", "user.deactivate", None),
    ("batch_disable_users", "user.deactivate", None),
    ("batch_restore_users", "user.activate", None),
    ("batch_delete_runners", "runner.deprovision", None),
    ("batch_deactivate_teams", "team.deactivate", None),
    ("batch_reactivate_teams", "team.reactivate", None),
];

/// Aliases of security event types.
pub const SECURITY_ALIASES: [Alias; 2] =
    [("label_violation", "label_policy_violation", None), ("unauthorized_access", "credential_denied", None)];

/// Returns the event type and outcome of the audit rows that match a filter for `name` and `success`. An old name that
/// contradicts `success` is returned unchanged: no row matches it.
pub fn resolve_audit_event(name: String, success: Option<bool>) -> (String, Option<bool>) {
    match find(&AUDIT_ALIASES, &name) {
        Some((event_type, said)) if said.is_none() || success.is_none() || said == success => {
            (event_type.to_owned(), said.or(success))
        }
        _ => (name, success),
    }
}

/// Returns the type of the security events that match a filter for `name`.
pub fn resolve_security_event(name: String) -> String {
    find(&SECURITY_ALIASES, &name).map_or(name, |(event_type, _)| event_type.to_owned())
}

fn find(aliases: &[Alias], name: &str) -> Option<(&'static str, Option<bool>)> {
    let (_, event_type, success) = aliases.iter().find(|(alias, ..)| *alias == name)?;
    Some((event_type, *success))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alias_narrows_outcome_and_never_widens_it() {
        let resolve = |name: &str, success| resolve_audit_event(name.to_owned(), success);
        assert_eq!(resolve("provision_jit_failed", None), ("runner.provision".to_owned(), Some(false)));
        assert_eq!(resolve("provision_jit", Some(true)), ("runner.provision".to_owned(), Some(true)));
        assert_eq!(resolve("provision_jit", Some(false)), ("provision_jit".to_owned(), Some(false)));
        assert_eq!(resolve("user_deactivated", Some(false)), ("user.deactivate".to_owned(), Some(false)));
        assert_eq!(resolve("team.create", None), ("team.create".to_owned(), None));
        assert_eq!(resolve_security_event("label_violation".to_owned()), "label_policy_violation");
        assert_eq!(resolve_security_event("quota_exceeded".to_owned()), "quota_exceeded");
    }
}
