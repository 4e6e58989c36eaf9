//! GitHub's values, as far as we use them. Unknown fields are ignored; optional ones may be absent.

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
    /// `unknown` until it first connects; casing is not promised.
    #[serde(default, deserialize_with = "or_default")]
    pub os: String,
    /// GitHub's word: `online` or `offline` today.
    pub status: String,
    /// It runs a job.
    pub busy: bool,
    /// All labels, GitHub's own among them.
    pub labels: Vec<Label>,
    /// At most one job.
    #[serde(default, deserialize_with = "optional")]
    pub ephemeral: Option<bool>,
    /// Version of the runner program, once connected.
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
    /// GitHub put it there and nobody can take it away.
    pub read_only: bool,
    /// Somebody put it there. GitHub need not say either: then nobody knows.
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

/// What `generate-jitconfig` is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JitConfigRequest {
    /// The runner's name, at most 64 characters.
    pub name: String,
    /// The group; 1 is the default one, and the one to send at repository level.
    pub runner_group_id: i64,
    /// 1 to 100 labels. GitHub adds none of its own.
    pub labels: Vec<String>,
    /// Work folder of the runner, usually `_work`.
    pub work_folder: String,
}

/// A JIT configuration, given out once.
#[derive(Clone, Debug)]
pub struct JitConfig {
    /// The runner, registered from now on.
    pub runner: Runner,
    /// The base64 text for `run.sh --jitconfig`. It holds a private key.
    pub encoded: Secret,
    /// `x-github-request-id`.
    pub request_id: Option<String>,
}

/// Answer to a conditional listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// A page.
    Page(Page),
    /// 304: the page is as it was when the entity tag was given.
    NotModified,
}

/// One page of runners. Pages together are no consistent snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Runners on all pages, as counted for this answer.
    pub total_count: u64,
    /// Those on this page.
    pub runners: Vec<Runner>,
    /// Entries of this page that cannot be read, by their id where at least that can be read. They are there, and nothing
    /// may be concluded from what they lack.
    pub unreadable: Vec<Option<i64>>,
    /// Number of the next page.
    pub next: Option<u32>,
    /// Entity tag; worth something only with the same token.
    pub etag: Option<String>,
}

/// What came of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// 204: no job lands on it any more.
    Deleted,
    /// 404: it was not there.
    Gone,
    /// 422: it runs a job. It was left alone.
    Busy,
}

/// A token for `config.sh`.
#[derive(Clone, Debug)]
pub struct RegistrationToken {
    /// The token.
    pub token: Secret,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// Until when GitHub takes a version of the runner software.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Deprecation {
    /// New runners of it may be registered until then.
    #[serde(default)]
    pub registration_deprecates_at: Option<DateTime<Utc>>,
    /// Registered runners of it may run until then.
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
    /// The group runners land in unless told otherwise.
    #[serde(default, deserialize_with = "or_default")]
    pub default: bool,
    /// GitHub's word: `all`, `selected` or `private` today.
    #[serde(default, deserialize_with = "optional")]
    pub visibility: Option<String>,
    /// Managed by the enterprise.
    #[serde(default, deserialize_with = "or_default")]
    pub inherited: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_a_label_is_known_only_from_its_type() {
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
