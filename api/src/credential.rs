//! Handing a config out: to the requester alone, once (and again within 120 s), and written down.

use axum::http::{HeaderName, header};
use chrono::{DateTime, Utc};
use domain::{AuditEntry, Caller, Job, JobKind, Origin, Problem, Runner};
use serde::Serialize;
use serde_json::json;
use store::{SealedCredential, Tx};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{app::AppState, error::ApiResult, openapi, views::Warning};

/// Nobody on the way keeps a copy.
pub(crate) const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// What a job handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CredentialKind {
    /// A JIT config.
    JitConfig,
    /// A registration token.
    RegistrationToken,
}

impl CredentialKind {
    /// The word in answers.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::JitConfig => "jit_config",
            Self::RegistrationToken => "registration_token",
        }
    }
}

/// A JIT config. The encoded config is a secret: whoever has it can be the runner.
#[derive(Serialize, ToSchema)]
#[schema(as = Credential)]
pub(crate) struct CredentialView {
    /// Tells it from a registration token.
    #[schema(schema_with = openapi::jit_config)]
    kind: CredentialKind,
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
    #[schema(example = "ACTIONS_RUNNER_INPUT_JITCONFIG='eyJ…' ./run.sh")]
    run_command: String,
    /// The same with the config as an argument, which every local user and the job itself can read while it runs.
    #[schema(example = "./run.sh --jitconfig 'eyJ…'")]
    run_command_argv: String,
    /// The job that got it.
    job_id: Uuid,
    /// What you should know about what you asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

/// A registration token. It is a secret: whoever has it can register runners for an hour.
#[derive(Serialize, ToSchema)]
#[schema(as = RegistrationToken)]
pub(crate) struct TokenView {
    /// Tells it from a JIT config.
    #[schema(schema_with = openapi::registration_token)]
    kind: CredentialKind,
    /// Our id of the runner.
    runner_id: Uuid,
    /// The name it is to register itself under.
    runner_name: String,
    /// For `./config.sh --token`.
    registration_token: String,
    /// Register the runner before.
    expires_at: DateTime<Utc>,
    /// For `./config.sh --url`.
    github_url: String,
    /// The runner group it lands in.
    runner_group_id: i64,
    /// Takes one workflow job and is gone.
    ephemeral: bool,
    /// Labels it is to give itself.
    labels: Vec<String>,
    /// Registers it, in a shell.
    #[schema(example = "./config.sh --unattended --url https://github.com/acme --token A… --name builder-7")]
    configuration_command: String,
    /// The job that got it.
    job_id: Uuid,
}

/// What a job that makes a runner hands out.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Handout, discriminator(property_name = "kind", mapping(
    ("jit_config" = "#/components/schemas/Credential"),
    ("registration_token" = "#/components/schemas/RegistrationToken"),
)))]
pub(crate) enum IssuedCredential {
    /// Of `POST /runners/jit`.
    Jit(CredentialView),
    /// Of `POST /runners/provision`.
    Token(TokenView),
}

impl IssuedCredential {
    /// With what its receiver should know. A token's runner states no version.
    pub(crate) fn warn(&mut self, warnings: Vec<Warning>) {
        if let Self::Jit(view) = self {
            view.warnings = warnings;
        }
    }
}

/// Opens the job's config for its requester and writes the hand-out down in the same transaction.
/// None: it is gone, or there never was one.
///
/// # Errors
/// When the caller's access to the team has ended since the job was accepted.
pub(crate) async fn fetch(
    app: &AppState,
    caller: &Caller,
    origin: &Origin,
    job: &Job,
) -> ApiResult<Option<IssuedCredential>> {
    let Some(runner_id) = job.runner else { return Ok(None) };
    let mut tx = app.store.begin().await?;
    if let Err(problem) = still_allowed(&mut tx, caller, job).await? {
        drop(tx);
        let error = Some(problem.detail.clone());
        let entry = AuditEntry { error, ..AuditEntry::by(caller, origin, "credential.fetch").about_job(job) };
        app.operations().record_refusal(&entry, &problem).await?;
        return Err(problem.into());
    }
    let Some(credential) = tx.credentials().hand_out(job.id).await? else { return Ok(None) };
    let Some(runner) = tx.runners().get(runner_id).await? else { return Ok(None) };
    let data = json!({ "first": credential.first });
    let entry = AuditEntry { data, ..AuditEntry::by(caller, origin, "credential.fetch").about_job(job) };
    tx.audit().write(&entry).await?;
    let view = open(app, job, &credential, runner)?;
    tx.commit().await?;
    Ok(Some(view))
}

/// Whether the caller may still have what the job made: the job was accepted some time ago.
async fn still_allowed(tx: &mut Tx, caller: &Caller, job: &Job) -> ApiResult<Result<(), Problem>> {
    let Some(team) = job.team else { return Ok(Ok(())) };
    let access = tx.permissions().access(caller.requester, team).await?;
    Ok(access.map_or_else(|| Err(Problem::requester_inactive()), |access| access.check(job.kind)))
}

fn open(
    app: &AppState,
    job: &Job,
    credential: &SealedCredential,
    runner: Runner,
) -> ApiResult<IssuedCredential> {
    let context = domain::credential_context(job.id, &credential.runner_name);
    let secret = app.keys.open(&context, &credential.sealed)?;
    let (runner_id, runner_name, expires_at) =
        (runner.id.uuid(), credential.runner_name.clone(), credential.expires_at);
    if job.kind == JobKind::Register {
        let github_url = app.web_urls.get(&runner.installation).cloned().unwrap_or_default();
        return Ok(IssuedCredential::Token(TokenView {
            kind: CredentialKind::RegistrationToken,
            runner_id,
            configuration_command: configuration(&runner, &github_url, secret.expose()),
            runner_name,
            registration_token: secret.expose().to_owned(),
            expires_at,
            github_url,
            runner_group_id: runner.runner_group_id,
            ephemeral: runner.ephemeral,
            labels: runner.labels,
            job_id: job.id.uuid(),
        }));
    }
    Ok(IssuedCredential::Jit(CredentialView {
        kind: CredentialKind::JitConfig,
        runner_id,
        runner_name,
        encoded_jit_config: secret.expose().to_owned(),
        labels: runner.labels,
        expires_at,
        run_command: format!("ACTIONS_RUNNER_INPUT_JITCONFIG={} ./run.sh", quoted(secret.expose())),
        run_command_argv: format!("./run.sh --jitconfig {}", quoted(secret.expose())),
        job_id: job.id.uuid(),
        warnings: Vec::new(),
    }))
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The command for a shell. Labels may hold anything but commas and control characters.
fn configuration(runner: &Runner, url: &str, token: &str) -> String {
    let mut words = vec!["./config.sh --unattended".to_owned()];
    let options =
        [("url", url), ("token", token), ("name", &runner.name), ("labels", &runner.labels.join(","))];
    words.extend(options.map(|(option, value)| format!("--{option} {}", quoted(value))));
    words.extend(runner.runner_group_name.as_deref().map(|group| format!("--runnergroup {}", quoted(group))));
    if runner.ephemeral {
        words.push("--ephemeral".to_owned());
    }
    words.join(" ")
}
