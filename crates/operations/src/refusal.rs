//! Recording of refusals: an audit row always, a security event if the request violated a policy. Equal refusals of one
//! caller within a minute share their rows. A caller that is refused too often gets `rate_limited` and writes nothing,
//! so that refusals cannot fill the disk. Callers without a limit of their own, because they are not authorised, share
//! the bounds of [`RefusalLog`].

mod log;

use std::fmt::Debug;

use domain::{AuditEntry, Problem, ProblemCode, Requester, SecurityEvent};
use serde_json::{Value, json};
use store::RepeatKey;

pub use self::log::{RefusalLog, Refused};
use crate::{OperationError, Operations, Result, record::extend};

/// Most labels of a refused request in a row.
const MAX_LABELS: usize = 20;
/// Most bytes of each label in a row.
const MAX_LABEL_BYTES: usize = 64;
/// Most bytes of the reason in a row.
const MAX_REASON_BYTES: usize = 300;

/// A limit on the recorded refusals of each caller.
pub trait RefusalLimit: Debug + Send + Sync {
    /// Counts one refusal before it is recorded.
    ///
    /// # Errors
    /// `rate_limited` with the seconds to wait, if the limit is reached.
    fn admit_refusal(&self, caller: Requester) -> std::result::Result<(), Problem>;
}

impl Operations<'_> {
    /// Writes the audit row and the security event of a refusal in a transaction of their own, because the refused
    /// operation was rolled back.
    ///
    /// # Errors
    /// `rate_limited` if the caller is refused too often; nothing is written then.
    pub async fn record_refusal(&self, entry: &AuditEntry, problem: &Problem) -> Result<()> {
        if let (Some(limit), Some(caller)) = (self.refusals, entry.requester) {
            limit.admit_refusal(caller)?;
        }
        let entry = AuditEntry {
            error: entry.error.as_deref().map(|reason| truncate(reason, MAX_REASON_BYTES).to_owned()),
            ..entry.clone()
        };
        let key = repeat_key(&entry, problem);
        let mut tx = self.store.begin().await?;
        tx.audit().write_or_count(&entry, &key).await?;
        if let Some(event) = SecurityEvent::of_refusal(problem) {
            tx.audit().alarm_or_count(&event, &entry, &key).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Returns the result of an admin's change, and records it first if it was refused for what is stored (403 or 409).
    /// Invalid values leave no row.
    ///
    /// # Errors
    /// Those of the change; `rate_limited` as in [`Self::record_refusal`].
    pub(crate) async fn record_refused<T>(&self, entry: AuditEntry, result: Result<T>) -> Result<T> {
        if let Err(OperationError::Refused(problem)) = &result
            && matches!(problem.code.status(), 403 | 409)
        {
            let mut entry = AuditEntry { error: Some(problem.detail.clone()), ..entry };
            extend(&mut entry.data, json!({ "code": problem.code }));
            self.record_refusal(&entry, problem).await?;
        }
        result
    }

    /// Records a refusal like [`Self::record_refusal`], for a caller that gets `not_found`. A reached limit must not
    /// change that answer: a different one would reveal which resources exist.
    ///
    /// # Errors
    /// Database errors.
    pub async fn record_hidden_refusal(&self, entry: &AuditEntry, problem: &Problem) -> Result<()> {
        match self.record_refusal(entry, problem).await {
            Err(OperationError::Refused(problem)) if problem.code == ProblemCode::RateLimited => Ok(()),
            recorded => recorded,
        }
    }
}

/// Returns the key of equal refusals: of one caller, of one action, for one reason.
fn repeat_key(entry: &AuditEntry, problem: &Problem) -> RepeatKey {
    let actor = entry.requester.map(|caller| match caller {
        Requester::User(id) => format!("user:{id}"),
        Requester::Client(id) => format!("client:{id}:{}", entry.identity.as_deref().unwrap_or_default()),
    });
    let id = |id: Option<String>| id.unwrap_or_default();
    RepeatKey::new(
        &actor.unwrap_or_default(),
        &[
            problem.code.as_str(),
            &id(entry.team.map(|id| id.to_string())),
            &id(entry.runner.map(|id| id.to_string())),
            &id(entry.job.map(|id| id.to_string())),
            entry.error.as_deref().unwrap_or_default(),
            &entry.data.to_string(),
        ],
    )
}

/// Returns the labels of a refused request as a row keeps them: those the problem names, shortened, and the number of
/// all.
pub(crate) fn summarize_labels(wanted: &[String], problem: &Problem) -> Value {
    let index = |pointer: &str| pointer.strip_prefix("/labels/")?.parse::<usize>().ok();
    let refused: Vec<&String> =
        problem.errors.iter().filter_map(|error| wanted.get(index(&error.pointer)?)).collect();
    let kept: Vec<&str> =
        refused.iter().take(MAX_LABELS).map(|label| truncate(label, MAX_LABEL_BYTES)).collect();
    json!({ "refused": kept, "refused_count": refused.len(), "count": wanted.len() })
}

/// Returns the beginning of a text, at most this number of bytes.
fn truncate(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use domain::FieldError;

    use super::*;

    #[test]
    fn only_refused_labels_are_kept_and_shortened() {
        let wanted: Vec<String> = (0..60).map(|n| format!("{n}{}", "é".repeat(100))).collect();
        let errors = (10..60).map(|n| FieldError::new(format!("/labels/{n}"), "no")).collect();
        let problem = Problem::new(ProblemCode::LabelPolicyViolation, "no").with_errors(errors);
        let kept = summarize_labels(&wanted, &problem);
        assert_eq!((&kept["refused_count"], &kept["count"]), (&json!(50), &json!(60)));
        let refused = kept["refused"].as_array().unwrap();
        assert_eq!(refused.len(), MAX_LABELS);
        assert!(refused.iter().all(|label| label.as_str().unwrap().len() <= MAX_LABEL_BYTES));
        assert!(refused[0].as_str().unwrap().starts_with("10é"));
        assert_eq!(
            summarize_labels(&wanted, &Problem::new(ProblemCode::QuotaExceeded, "no"))["refused"],
            json!([])
        );
    }
}
