//! Handing a config out: to the requester alone, once (and again within 120 s), and written down.

use axum::http::{HeaderName, header};
use chrono::{DateTime, Utc};
use domain::{AuditEntry, Caller, Job, Origin};
use serde::Serialize;
use serde_json::json;
use store::SealedCredential;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{app::App, error::ApiResult};

/// Nobody on the way keeps a copy.
pub(crate) const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// A JIT config. The encoded config is a secret: whoever has it can be the runner.
#[derive(Serialize, ToSchema)]
#[schema(as = Credential)]
pub(crate) struct CredentialView {
    /// Our id of the runner.
    runner_id: Uuid,
    /// Its name on GitHub.
    runner_name: String,
    /// For `./run.sh --jitconfig`.
    encoded_jit_config: String,
    /// Labels GitHub bound to it.
    labels: Vec<String>,
    /// Start the runner before.
    expires_at: DateTime<Utc>,
    /// Starts it.
    #[schema(example = "./run.sh --jitconfig eyJ…")]
    run_command: String,
    /// The job that got it.
    job_id: Uuid,
}

/// Opens the job's config for its requester and writes the hand-out down in the same transaction.
/// None: it is gone, or there never was one.
pub(crate) async fn fetch(
    app: &App,
    caller: &Caller,
    origin: &Origin,
    job: &Job,
) -> ApiResult<Option<CredentialView>> {
    let Some(runner_id) = job.runner else { return Ok(None) };
    let mut tx = app.store.begin().await?;
    let Some(credential) = tx.credentials().hand_out(job.id).await? else { return Ok(None) };
    let Some(runner) = tx.runners().get(runner_id).await? else { return Ok(None) };
    let entry = AuditEntry {
        runner: Some(runner.id),
        runner_name: Some(runner.name),
        team: job.team,
        job: Some(job.id),
        data: json!({ "first": credential.first }),
        ..AuditEntry::by(caller, origin, "credential.fetch")
    };
    tx.audit().write(&entry).await?;
    let view = open(app, job, &credential, (runner.id.uuid(), runner.labels))?;
    tx.commit().await?;
    Ok(Some(view))
}

fn open(
    app: &App,
    job: &Job,
    credential: &SealedCredential,
    (runner_id, labels): (Uuid, Vec<String>),
) -> ApiResult<CredentialView> {
    let context = domain::credential_context(job.id, &credential.runner_name);
    let secret = app.keys.open(&context, &credential.sealed)?;
    Ok(CredentialView {
        runner_id,
        runner_name: credential.runner_name.clone(),
        encoded_jit_config: secret.expose().to_owned(),
        labels,
        expires_at: credential.expires_at,
        run_command: format!("./run.sh --jitconfig {}", secret.expose()),
        job_id: job.id.uuid(),
    })
}
