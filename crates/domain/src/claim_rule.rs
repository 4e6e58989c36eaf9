//! Claim rules: the selection of a machine client's tokens by subject and claims.
//!
//! They serve issuers whose tokens carry no client id.

use serde_json::{Map, Value};

/// Maximum length of a subject pattern and of a claim value, in bytes.
const MAX_TEXT: usize = 1024;
/// Maximum length of a claim name, in bytes.
const MAX_NAME: usize = 255;
/// Maximum number of claims in a rule.
const MAX_CLAIMS: usize = 20;
/// Characters that end a segment of a subject.
const SEPARATORS: [char; 4] = [':', '/', '|', '#'];
/// Number of subject segments used as a lookup key. The database function `claim_rule_key` uses the same bounds.
const KEY_SEGMENTS: std::ops::RangeInclusive<usize> = 2..=8;
/// Maximum length of a lookup key, in characters.
const MAX_KEY: usize = 600;

/// Claims that name the owner of a pipeline, project or account. Any tenant may choose the values of all other claims.
pub(crate) const OWNER_CLAIMS: &[&str] = &[
    "repository_id",
    "repository",
    "repository_owner_id",
    "repository_owner",
    "enterprise_id",
    "enterprise",
    "workflow_ref",
    "project_id",
    "project_path",
    "namespace_id",
    "namespace_path",
    "root_namespace_id",
    "organization_id",
    "organization",
];
/// Claims that do not identify an owner, also at unknown providers. Any repository may call a public reusable workflow
/// (`job_workflow_ref`), and any user may trigger a workflow of a public repository (`actor`).
const OPEN_CLAIMS: [&str; 24] = [
    "iss",
    "aud",
    "azp",
    "typ",
    "ref",
    "ref_type",
    "ref_protected",
    "event_name",
    "environment",
    "environment_protected",
    "head_ref",
    "base_ref",
    "runner_environment",
    "repository_visibility",
    "run_attempt",
    "pipeline_source",
    "workflow",
    "job_workflow_ref",
    "ci_config_ref_uri",
    "context",
    "actor",
    "actor_id",
    "user_login",
    "user_email",
];

/// Selects tokens of an issuer: the subject matches a pattern and every listed claim has exactly the given value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimRule {
    /// Pattern of the whole subject, e.g. `repo:octo-org/deploy:environment:prod`. `*` matches any characters, `?`
    /// exactly one; case-sensitive.
    pub subject: String,
    /// Required exact values of further claims.
    #[serde(default)]
    pub claims: std::collections::BTreeMap<String, Value>,
}

impl ClaimRule {
    /// Checks the form of the rule and that it pins an owner. On a public issuer anyone can obtain a token whose
    /// subject matches `repo:*`.
    ///
    /// # Errors
    /// Returns a sentence that names the fault.
    pub fn check(&self) -> Result<(), &'static str> {
        let printable = |text: &str| !text.chars().any(char::is_control);
        let subject = &self.subject;
        if subject.is_empty() || subject.len() > MAX_TEXT || !printable(subject) {
            return Err("a subject is 1 to 1,024 bytes of printable characters");
        }
        let named = |name: &String| (1..=MAX_NAME).contains(&name.len()) && printable(name);
        let scalar = |value: &Value| match value {
            Value::String(text) => text.len() <= MAX_TEXT && printable(text),
            Value::Number(_) | Value::Bool(_) => true,
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        };
        if self.claims.len() > MAX_CLAIMS
            || !self.claims.keys().all(named)
            || !self.claims.values().all(scalar)
        {
            return Err("at most 20 claims, each a printable string, a number or a boolean");
        }
        if self.pins_owner() {
            return Ok(());
        }
        Err("the rule must pin an owner: write the subject out past the owner (`repo:octo-org/…`, \
             `project_path:group/…`, `system:serviceaccount:namespace:…`), or add an exact claim such as \
             `repository_owner_id`")
    }

    /// Returns whether only one owner's tokens can match: by the subject's part before the first wildcard, or by a
    /// claim.
    pub fn pins_owner(&self) -> bool {
        let literal = literal(&self.subject);
        if literal.len() == self.subject.len() {
            return true;
        }
        let claimed = |known_provider: bool| {
            self.claims.iter().any(|(name, value)| {
                let name = name.as_str();
                let names_owner =
                    OWNER_CLAIMS.contains(&name) || (!known_provider && !OPEN_CLAIMS.contains(&name));
                names_owner && value.as_str() != Some("")
            })
        };
        let segments: Vec<&str> =
            literal.split_inclusive(SEPARATORS).filter_map(|part| part.strip_suffix(SEPARATORS)).collect();
        let filled = |from: usize, to: usize| {
            segments.get(from..to).is_some_and(|some| some.iter().all(|segment| !segment.is_empty()))
        };
        let head = segments.first().copied().unwrap_or_default();
        let names_owner = |name: &str| name == "repo" || OWNER_CLAIMS.contains(&name);
        let (known_provider, pinned) = if head == "system" {
            (true, filled(0, 3))
        } else if names_owner(head) {
            (true, filled(0, 2))
        } else if OPEN_CLAIMS.contains(&head) {
            // The first segment may be a claim that any tenant can have; the owner follows in a later segment.
            let owner = segments.iter().position(|segment| names_owner(segment));
            (true, owner.is_some_and(|at| filled(at, at + 2)))
        } else {
            (false, segments.iter().filter(|segment| !segment.is_empty()).count() >= 2)
        };
        pinned || claimed(known_provider)
    }

    /// Returns whether a token with this subject and these claims matches.
    pub(crate) fn fits(&self, subject: &str, claims: &Map<String, Value>) -> bool {
        self.pins_owner()
            && glob(&self.subject, subject)
            && self.claims.iter().all(|(name, value)| claims.get(name) == Some(value))
    }
}

/// Returns the lookup keys of all rules that may match a token: its subject, the heads of its subject, its claims. The
/// database function `claim_rule_key` gives each rule exactly one of these keys.
pub(crate) fn keys(subject: &str, claims: &Map<String, Value>) -> Vec<String> {
    let cut = |key: String| key.chars().take(MAX_KEY).collect::<String>();
    let ends = subject.match_indices(SEPARATORS).map(|(at, separator)| at + separator.len()).enumerate();
    let heads = ends.filter(|(nth, _)| KEY_SEGMENTS.contains(&(nth + 1)));
    let heads = heads.map(|(_, end)| cut(format!("p:{}", &subject[..end])));
    let claimed = claims.iter().filter_map(|(name, value)| {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        // PostgreSQL stores no U+0000 in texts, so no rule contains it.
        Some(cut(format!("c:{name}={value}"))).filter(|key| !key.contains('\0'))
    });
    std::iter::once(cut(format!("s:{subject}"))).chain(heads).chain(claimed).collect()
}

/// Returns the part before the first wildcard.
fn literal(pattern: &str) -> &str {
    pattern.split(['*', '?']).next().unwrap_or_default()
}

/// Returns whether `text` matches `pattern`: `*` matches any characters, `?` exactly one.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(subject: &str, claims: &Value) -> ClaimRule {
        let claims = claims.as_object().unwrap().clone().into_iter().collect();
        ClaimRule { subject: subject.to_owned(), claims }
    }

    #[test]
    fn rule_without_an_owner_is_refused() {
        for subject in [
            "*",
            "?",
            "r*",
            "repo:*",
            "*:*",
            "*/*",
            "re?o:acme/x",
            "repo:*:ref:refs/heads/main",
            "repo:acme*",
            "repo:/*",
            "repo:?cme/*",
            "project_path:*",
            "project_path:group*",
            "system:*",
            "system:serviceaccount:*",
            "system:serviceaccount:ci*",
            "auth0|*",
            "organization:*",
            "::*",
            "//**",
        ] {
            for claims in [json!({}), json!({ "ref": "refs/heads/main", "actor": "ada" })] {
                let open = rule(subject, &claims);
                assert!(open.check().unwrap_err().contains("pin an owner"), "{subject} {claims}");
                let claims = claims.as_object().unwrap();
                assert!(!open.fits("repo:acme/x:ref:refs/heads/main", claims), "{subject}");
            }
        }
    }

    #[test]
    fn rule_with_an_owner_is_accepted() {
        for (subject, claims) in [
            ("repo:acme/*", json!({})),
            ("repo:acme/deploy:*", json!({})),
            ("repo:ada_acme/tools:environment:prod", json!({})),
            ("repo:acme@12/deploy@34:ref:*", json!({})),
            ("repository_owner:acme:*", json!({})),
            ("project_path:group/*", json!({})),
            ("system:serviceaccount:ci:*", json!({})),
            ("org/ORG/project/P/*", json!({})),
            ("spiffe://prod.example/ns/ci/*", json!({})),
            ("environment:prod:repo:acme/*", json!({})),
            ("repository_id:7:*", json!({})),
            ("3f2a-exact", json!({})),
            ("*", json!({ "repository_owner_id": "77" })),
            ("repo:*:environment:prod", json!({ "repository": "ada_acme/tools" })),
            ("system:serviceaccount:*", json!({ "namespace_id": 7 })),
            ("user:*", json!({ "https://example.com/tenant": "acme" })),
        ] {
            assert_eq!(rule(subject, &claims).check(), Ok(()), "{subject} {claims}");
        }
    }

    #[test]
    fn rule_with_unreadable_text_is_refused() {
        for (subject, claims) in [
            ("repo:acme/\0", json!({})),
            ("", json!({})),
            ("repo:acme/x", json!({ "a\0": "b" })),
            ("repo:acme/x", json!({ "a": "b\0" })),
            ("repo:acme/x", json!({ "": "b" })),
            ("repo:acme/x", json!({ "a": [] })),
            ("repo:acme/x", json!({ "a": null })),
            ("repo:acme/x", json!({ "a": "x".repeat(1025) })),
        ] {
            assert!(rule(subject, &claims).check().is_err(), "{subject} {claims}");
        }
        assert!(rule(&format!("repo:acme/{}", "x".repeat(1100)), &json!({})).check().is_err());
    }

    #[test]
    fn token_is_looked_up_by_subject_heads_and_claims() {
        let claims = json!({ "repository_id": 7, "aud": ["x"], "bad": "a\0" });
        let found = keys("repo:acme/deploy:ref", claims.as_object().unwrap());
        assert_eq!(
            found,
            ["s:repo:acme/deploy:ref", "p:repo:acme/", "p:repo:acme/deploy:", "c:repository_id=7"]
        );
        assert!(keys(&"a:".repeat(1000), &Map::new()).len() <= 8);
    }

    #[test]
    fn globs_cover_the_whole_text() {
        for (pattern, text, fits) in [
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("?", "", false),
            ("**a", "za", true),
            ("a*b*c", "axxbyyc", true),
            ("a.c", "abc", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
