//! Comparison of a claim rule with one token, for an admin who asks why the rule does not match.

use serde_json::{Value, json};

use crate::{ClaimRule, TokenFacts, claim_rule::glob};

/// Longest value of a claim that is shown, in characters.
const MAX_SHOWN: usize = 255;

/// Comparison of a claim rule with one token. The rule matches if everything in it fits.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleComparison {
    /// Whether the rule pins an owner. A rule that does not matches no token.
    pub pins_owner: bool,
    /// Whether the token's subject matches the pattern.
    pub subject_fits: bool,
    /// Comparison of each claim of the rule.
    pub claims: Vec<ClaimComparison>,
}

/// Comparison of one claim of a rule with the token's claim.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimComparison {
    /// Name of the claim.
    pub name: String,
    /// Value in the rule.
    pub wanted: Value,
    /// Value in the token, shortened; `None` if the token has no such claim.
    pub found: Option<Value>,
    /// Whether both are equal.
    pub fits: bool,
}

impl RuleComparison {
    /// Compares a rule with a token.
    pub fn of(rule: &ClaimRule, facts: &TokenFacts) -> Self {
        let claims = rule.claims.iter().map(|(name, wanted)| {
            let found = facts.claims.get(name);
            ClaimComparison {
                name: name.clone(),
                wanted: wanted.clone(),
                found: found.map(shown),
                fits: found == Some(wanted),
            }
        });
        Self {
            pins_owner: rule.pins_owner(),
            subject_fits: glob(&rule.subject, &facts.subject),
            claims: claims.collect(),
        }
    }

    /// Returns whether the rule matches the token.
    pub fn fits(&self) -> bool {
        self.pins_owner && self.subject_fits && self.claims.iter().all(|claim| claim.fits)
    }
}

/// Returns a claim as it is shown: short texts, numbers and booleans as they are, anything else as shortened JSON.
fn shown(value: &Value) -> Value {
    match value {
        Value::Number(_) | Value::Bool(_) | Value::Null => value.clone(),
        Value::String(text) => json!(text.chars().take(MAX_SHOWN).collect::<String>()),
        Value::Array(_) | Value::Object(_) => {
            json!(value.to_string().chars().take(MAX_SHOWN).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(subject: &str, claims: &Value) -> RuleComparison {
        let claims = claims.as_object().unwrap().clone().into_iter().collect();
        let rule = ClaimRule { subject: subject.to_owned(), claims };
        let facts = TokenFacts {
            issuer: "https://ci".to_owned(),
            subject: "repo:acme/web:ref:refs/heads/main".to_owned(),
            email: None,
            binding_email: None,
            name: None,
            claims: json!({ "repository_id": "7", "aud": ["a"] }).as_object().unwrap().clone(),
        };
        RuleComparison::of(&rule, &facts)
    }

    #[test]
    fn each_part_of_a_rule_is_compared() {
        assert!(compared("repo:acme/web:*", &json!({ "repository_id": "7" })).fits());
        let wrong = compared("repo:acme/api:*", &json!({ "repository_id": 7, "ref": "main" }));
        assert!(!wrong.fits() && !wrong.subject_fits && wrong.pins_owner);
        let found: Vec<_> = wrong.claims.iter().map(|claim| (claim.found.clone(), claim.fits)).collect();
        assert_eq!(found, [(None, false), (Some(json!("7")), false)]);
        assert!(!compared("repo:*", &json!({})).pins_owner);
    }
}
