//! `rts migrate-label-policies`.

use std::{fs::File, io::Read, path::Path};

use anyhow::{Context, bail};
use operations::{AdoptedPolicy, Adoption, Operations, UserLabelPolicy};
use runtime::config::Sources;
use serde::Deserialize;

use super::access::refused;
use crate::{args::MigrateLabelPolicies, exit::End, output, process, wiring};

/// Largest file, in bytes.
const MAX_FILE: u64 = 16 << 20;
/// Most policies in a file.
const MAX_POLICIES: usize = 10_000;

/// The policies as the predecessor's API or its database has them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Policies {
    Answer { policies: Vec<StoredPolicy> },
    Rows(Vec<StoredPolicy>),
}

/// One policy. Further members are ignored.
#[derive(Deserialize)]
struct StoredPolicy {
    user_identity: String,
    allowed_labels: Texts,
    label_patterns: Option<Texts>,
    max_runners: Option<i32>,
    require_approval: Option<Flag>,
    description: Option<String>,
}

/// A list of texts; the predecessor's database keeps it as JSON in a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    List(Vec<String>),
    Json(String),
}

/// A boolean; `SQLite` keeps it as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Flag {
    Boolean(bool),
    Number(i64),
}

impl Texts {
    fn read(self) -> serde_json::Result<Vec<String>> {
        match self {
            Self::List(list) => Ok(list),
            Self::Json(text) => serde_json::from_str(&text),
        }
    }
}

impl TryFrom<StoredPolicy> for UserLabelPolicy {
    type Error = anyhow::Error;

    fn try_from(stored: StoredPolicy) -> anyhow::Result<Self> {
        let unreadable = |member: &str| format!("{member} of {} is no list of texts", stored.user_identity);
        Ok(Self {
            allowed_labels: stored.allowed_labels.read().with_context(|| unreadable("allowed_labels"))?,
            label_patterns: match stored.label_patterns {
                Some(patterns) => patterns.read().with_context(|| unreadable("label_patterns"))?,
                None => Vec::new(),
            },
            identity: stored.user_identity.clone(),
            max_runners: stored.max_runners,
            needs_approval: match stored.require_approval {
                Some(Flag::Boolean(yes)) => yes,
                Some(Flag::Number(number)) => number != 0,
                None => false,
            },
            description: stored.description,
        })
    }
}

/// Makes a team of each policy, and prints what became of it. Fails at the end if a policy was skipped.
pub(crate) async fn migrate(sources: &Sources, which: &MigrateLabelPolicies) -> anyhow::Result<()> {
    let policies = read(&which.file)?;
    let (store, queue) = (wiring::store(sources)?, wiring::queue(sources)?);
    let operations = Operations::new(&store, &queue);
    let admin = process::administrator("rts migrate-label-policies");
    let adoption = if which.dry_run { Adoption::DryRun } else { Adoption::Keep };
    let mut skipped = 0;
    for policy in &policies {
        let adopted = operations.adopt_label_policy(&admin, policy, &which.installation, adoption).await;
        match adopted.map_err(refused)? {
            AdoptedPolicy::Team(name) => output::line(format_args!("{}: team {name}", policy.identity)),
            AdoptedPolicy::Skipped(reason) => {
                skipped += 1;
                output::line(format_args!("{}: skipped: {reason}", policy.identity));
            }
        }
    }
    store.close().await;
    let made = policies.len() - skipped;
    let verb = if which.dry_run { "would be made" } else { "made" };
    output::note(format_args!("{made} teams {verb}, {skipped} policies skipped"));
    if skipped > 0 {
        return Err(End::Refused(format!("{skipped} of {} policies were skipped", policies.len())).into());
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Vec<UserLabelPolicy>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut text = String::new();
    file.take(MAX_FILE + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {} as text", path.display()))?;
    if u64::try_from(text.len()).is_ok_and(|length| length > MAX_FILE) {
        bail!("{} is larger than 16 MiB", path.display());
    }
    let policies = serde_json::from_str(&text).with_context(|| {
        format!("{} is neither `{{\"policies\": [...]}}` nor an array of policies", path.display())
    })?;
    let policies = match policies {
        Policies::Answer { policies } | Policies::Rows(policies) => policies,
    };
    if policies.len() > MAX_POLICIES {
        bail!("{} has more than {MAX_POLICIES} policies", path.display());
    }
    policies.into_iter().map(UserLabelPolicy::try_from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<UserLabelPolicy> {
        let (Policies::Answer { policies } | Policies::Rows(policies)) = serde_json::from_str(text).unwrap();
        policies.into_iter().map(|policy| policy.try_into().unwrap()).collect()
    }

    #[test]
    fn answers_of_the_api_and_rows_of_the_database_are_read() {
        let answer = r#"{"policies": [{"user_identity": "ada@example.com", "allowed_labels": ["gpu"],
            "label_patterns": ["a-.*"], "max_runners": 2, "require_approval": true, "created_by": "root"}], "total": 1}"#;
        let row = r#"[{"user_identity": "ada@example.com", "allowed_labels": "[\"gpu\"]",
            "label_patterns": "[\"a-.*\"]", "max_runners": 2, "require_approval": 1, "description": null}]"#;
        assert_eq!(parsed(answer), parsed(row));
        assert!(parsed(answer)[0].needs_approval);
        assert_eq!(parsed(r#"[{"user_identity": "a", "allowed_labels": []}]"#)[0].label_patterns.len(), 0);
    }
}
