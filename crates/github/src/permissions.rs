//! Permissions of installation tokens: only those that the calls of this crate need.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::settings::Scope;

/// The body of a token request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct TokenRequest {
    permissions: BTreeMap<&'static str, &'static str>,
    /// Empty: all repositories of the installation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repositories: Vec<String>,
}

/// Permissions that only one feature needs: cancelling workflow runs that a team does not allow.
const OPTIONAL: [(&str, &str); 1] = [("actions", "write")];

impl TokenRequest {
    /// Returns the least permissions that all calls for runners of this scope need.
    pub(crate) fn required(scope: &Scope) -> Self {
        let (permission, repositories) = match scope {
            Scope::Repo { name, .. } => ("administration", vec![name.clone()]),
            // GitHub accepts no App tokens for enterprises; settings with both are refused.
            Scope::Org(_) | Scope::Enterprise(_) => ("organization_self_hosted_runners", Vec::new()),
        };
        Self { permissions: BTreeMap::from([(permission, "write")]), repositories }
    }

    /// Returns the request with the optional permissions added.
    pub(crate) fn with_optional(mut self) -> Self {
        self.permissions.extend(OPTIONAL);
        self
    }

    /// Returns the permissions as text, `name: level` each.
    pub(crate) fn describe(&self) -> String {
        let permissions: Vec<String> =
            self.permissions.iter().map(|(name, level)| format!("`{name}: {level}`")).collect();
        permissions.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_requested_with_least_permissions() {
        let json = |request: TokenRequest| serde_json::to_value(request).unwrap();
        let org = TokenRequest::required(&Scope::Org("acme".into()));
        assert_eq!(
            json(org.clone().with_optional()),
            serde_json::json!({ "permissions": { "organization_self_hosted_runners": "write", "actions": "write" } })
        );
        assert_eq!(org.describe(), "`organization_self_hosted_runners: write`");
        let repo = TokenRequest::required(&Scope::Repo { owner: "acme".into(), name: "web".into() });
        assert_eq!(
            json(repo),
            serde_json::json!({ "permissions": { "administration": "write" }, "repositories": ["web"] })
        );
    }
}
