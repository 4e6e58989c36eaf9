//! GitHub's objects, as far as we use them. Unknown fields are ignored; optional ones may be absent.

use chrono::{DateTime, Utc};
use domain::Secret;
use serde::{Deserialize, Serialize};

use crate::lenient::{optional, or_default};

/// One self-hosted runner.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Runner {
    /// GitHub's id.
    pub id: i64,
    /// Its name, unique within one level.
    pub name: String,
    /// `unknown` until it first connects; its case is not guaranteed.
    #[serde(default, deserialize_with = "or_default")]
    pub os: String,
    /// GitHub's status: `online` or `offline` today.
    pub status: String,
    /// Whether it runs a job.
    pub busy: bool,
    /// All labels, including GitHub's own.
    pub labels: Vec<Label>,
    /// Whether it runs at most one job.
    #[serde(default, deserialize_with = "optional")]
    pub ephemeral: Option<bool>,
    /// Version of the runner program, after the first connection.
    #[serde(default, deserialize_with = "optional")]
    pub version: Option<String>,
    /// Its group.
    #[serde(default, deserialize_with = "optional")]
    pub runner_group_id: Option<i64>,
}

/// One label of a runner.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "LabelWire")]
pub struct Label {
    /// Its text; GitHub compares it without regard to case.
    pub name: String,
    /// Whether GitHub set the label and it cannot be removed.
    pub read_only: bool,
    /// Whether a user set the label. If GitHub omits the type, both flags are false.
    pub custom: bool,
}

#[derive(Deserialize)]
struct LabelWire {
    name: String,
    #[serde(default, rename = "type", deserialize_with = "optional")]
    kind: Option<String>,
}

impl From<LabelWire> for Label {
    fn from(wire: LabelWire) -> Self {
        let is = |word: &str| wire.kind.as_deref() == Some(word);
        Self { read_only: is("read-only"), custom: is("custom"), name: wire.name }
    }
}

/// Request for a JIT configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JitConfigRequest {
    /// The runner's name, at most 64 characters.
    pub name: String,
    /// The group; 1 is the default group, and the value to send at repository level.
    pub runner_group_id: i64,
    /// 1 to 100 labels. GitHub adds none of its own.
    pub labels: Vec<String>,
    /// Work folder of the runner, usually `_work`.
    pub work_folder: String,
}

/// A JIT configuration, issued once.
#[derive(Clone, Debug)]
pub struct JitConfig {
    /// The runner, registered from now on.
    pub runner: Runner,
    /// The base64 text for `run.sh --jitconfig`. It contains a private key.
    pub encoded: Secret,
    /// `x-github-request-id`.
    pub request_id: Option<String>,
}

/// Result of a conditional listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// A page.
    Page(Page),
    /// 304: the page has not changed since the entity tag was issued.
    NotModified,
}

/// One page of runners. The pages together are not a consistent snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Runners on all pages, as counted for this response.
    pub total_count: u64,
    /// The runners on this page.
    pub runners: Vec<Runner>,
    /// Entries of this page that cannot be read, with their id if at least that can be read. They exist, so nothing may
    /// be concluded from their absence among `runners`.
    pub unreadable: Vec<Option<i64>>,
    /// Number of the next page.
    pub next: Option<u32>,
    /// Entity tag, valid only with the token of this response.
    pub etag: Option<String>,
}

/// Result of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// 204: GitHub assigns no more jobs to it.
    Deleted,
    /// 404: it did not exist.
    Gone,
    /// 422: it runs a job and was not deleted.
    Busy,
}

/// A token for `config.sh`.
#[derive(Clone, Debug)]
pub struct RegistrationToken {
    /// The token.
    pub token: Secret,
    /// End of its life.
    pub expires_at: DateTime<Utc>,
}

/// Dates until which GitHub supports a version of the runner program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Deprecation {
    /// New runners of this version may be registered until then.
    #[serde(default)]
    pub registration_deprecates_at: Option<DateTime<Utc>>,
    /// Registered runners of this version may run until then.
    #[serde(default)]
    pub runtime_deprecates_at: Option<DateTime<Utc>>,
}

/// A group of runners.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RunnerGroup {
    /// GitHub's id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Whether runners are added to this group by default.
    #[serde(default, deserialize_with = "or_default")]
    pub default: bool,
    /// GitHub's visibility: `all`, `selected` or `private` today.
    #[serde(default, deserialize_with = "optional")]
    pub visibility: Option<String>,
    /// Whether the enterprise manages it.
    #[serde(default, deserialize_with = "or_default")]
    pub inherited: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_of_a_label_is_known_only_from_its_type() {
        for (text, read_only, custom) in [
            (r#"{"id":1,"name":"Linux","type":"read-only"}"#, true, false),
            (r#"{"id":2,"name":"gpu","type":"custom"}"#, false, true),
            (r#"{"name":"gpu"}"#, false, false),
        ] {
            let label: Label = serde_json::from_str(text).unwrap();
            assert_eq!((label.read_only, label.custom), (read_only, custom), "{text}");
        }
    }
}
