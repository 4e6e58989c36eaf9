//! What an installation token may do: no more than the calls of this crate need.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::settings::Scope;

/// The body of a request for a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct TokenRequest {
    permissions: BTreeMap<&'static str, &'static str>,
    /// All repositories of the installation when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repositories: Vec<String>,
}

/// Permissions without which only one feature is lost: cancelling workflow runs that a team does not allow.
const OPTIONAL: [(&str, &str); 1] = [("actions", "write")];

impl TokenRequest {
    /// The least that all calls for runners of this scope need.
    pub(crate) fn required(scope: &Scope) -> Self {
        let (permission, repositories) = match scope {
            Scope::Repo { name, .. } => ("administration", vec![name.clone()]),
            // Enterprises take no App tokens; settings with both are refused.
            Scope::Org(_) | Scope::Enterprise(_) => ("organization_self_hosted_runners", Vec::new()),
        };
        Self { permissions: BTreeMap::from([(permission, "write")]), repositories }
    }

    /// The same with what an installation need not grant.
    pub(crate) fn with_optional(mut self) -> Self {
        self.permissions.extend(OPTIONAL);
        self
    }

    /// The permissions in words, as `name: level`.
    pub(crate) fn words(&self) -> String {
        let words: Vec<String> =
            self.permissions.iter().map(|(name, level)| format!("`{name}: {level}`")).collect();
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_asked_for_with_the_least_permissions() {
        let json = |request: TokenRequest| serde_json::to_value(request).unwrap();
        let org = TokenRequest::required(&Scope::Org("acme".into()));
        assert_eq!(
            json(org.clone().with_optional()),
            serde_json::json!({ "permissions": { "organization_self_hosted_runners": "write", "actions": "write" } })
        );
        assert_eq!(org.words(), "`organization_self_hosted_runners: write`");
        let repo = TokenRequest::required(&Scope::Repo { owner: "acme".into(), name: "web".into() });
        assert_eq!(
            json(repo),
            serde_json::json!({ "permissions": { "administration": "write" }, "repositories": ["web"] })
        );
    }
}
