//! Repeated and refused requests for runners.

use domain::{AuditEntry, FieldError, Job, JobId, Principal, Problem, ProblemCode, TeamId};
use serde_json::json;
use store::{KeyedRequest, TakenKey, Tx};

use super::ProvisionCommand;
use crate::{Operations, Result, refusal};

fn other_sealing_key() -> Problem {
    let detail = "This Idempotency-Key was used with another sealing key, or without one; only that key opens the config.";
    let field = FieldError::new("/sealing_key", "not the key of the first request");
    Problem::new(ProblemCode::IdempotencyMismatch, detail).with_errors(vec![field])
}

impl ProvisionCommand<'_> {
    /// Returns whether an earlier request may have made the job.
    pub(super) fn is_repeatable(&self) -> bool {
        self.key.is_some() || self.redemption.is_some()
    }

    /// Takes the idempotency key or the ticket. Returns the job of an earlier request that had it.
    ///
    /// # Errors
    /// `idempotency_mismatch`, `credential_denied`, `ticket_refused`; database errors.
    pub(super) async fn take_key(&self, tx: &mut Tx, job: JobId) -> Result<Option<Job>> {
        if let Some(redemption) = &self.redemption {
            let before = redemption.lock(tx).await?;
            return self.with_equal_sealing_key(before);
        }
        let asked_by = self.by.subject().map(Principal::fingerprint);
        let Some(request) = self.keyed_request(asked_by.as_deref()) else { return Ok(None) };
        match tx.idempotency().take_key(&request, job).await? {
            TakenKey::New => Ok(None),
            TakenKey::Before(job) => self.with_equal_sealing_key(tx.jobs().get(job).await?),
            // The job belongs to another workflow or account of this client, so this caller must not get its result.
            TakenKey::OtherSubject(_) => {
                let detail =
                    "This Idempotency-Key was used by another subject of this machine client; use a new one.";
                Err(Problem::new(ProblemCode::CredentialDenied, detail).into())
            }
            TakenKey::Mismatch => Err(Problem::new(
                ProblemCode::IdempotencyMismatch,
                "This Idempotency-Key was used with another body; use a new one.",
            )
            .into()),
        }
    }

    /// Returns the request's key, if it has one, with the fingerprint of a machine client's principal.
    pub(super) fn keyed_request<'k>(&'k self, asked_by: Option<&'k [u8]>) -> Option<KeyedRequest<'k>> {
        let (key, requester) = (self.key.as_deref()?, self.by.caller.requester);
        Some(KeyedRequest { requester, asked_by, key, body_hash: &self.hash })
    }

    /// Returns the job of an earlier request, if that request had an equal sealing key.
    fn with_equal_sealing_key(&self, before: Option<Job>) -> Result<Option<Job>> {
        match before {
            Some(job) if job.params.sealing_key() != self.sealing_key.as_ref() => {
                Err(other_sealing_key().into())
            }
            before => Ok(before),
        }
    }

    /// Records a refusal: an audit row always, a security event if the request violated a policy.
    pub(crate) async fn record_refusal(
        &self,
        operations: &Operations<'_>,
        event_type: &'static str,
        problem: &Problem,
    ) -> Result<()> {
        if !matches!(problem.code.status(), 403 | 409) {
            return Ok(());
        }
        let caller = self.by.caller;
        let team = self.team.or(match caller.teams.as_slice() {
            [only] => Some(only.id),
            _ => None,
        });
        let kept = refusal::summarize_labels(&self.request.labels, problem);
        let mut data = json!({
            "code": problem.code,
            "labels": kept["refused"],
            "refused_label_count": kept["refused_count"],
            "label_count": kept["count"],
            "runner_group_id": self.request.runner_group_id,
            "name": self.request.name,
        });
        // A caller that is no member must not write text of its own into a team's log.
        let member = team.is_none_or(|team| caller.is_member(team));
        if !member {
            data["team_id"] = json!(team.filter(|team| *team != TeamId::NIL));
        }
        let entry = AuditEntry {
            team: team.filter(|_| member),
            data,
            error: Some(problem.detail.clone()),
            ..self.by.entry(event_type)
        };
        operations.record_refusal(&entry, problem).await
    }
}
