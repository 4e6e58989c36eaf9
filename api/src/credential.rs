//! Hand-out of credentials: to the requester alone, once (again within 120 s), with an audit row.

use axum::http::{HeaderName, header};
use chrono::{DateTime, Utc};
use domain::{
    AuditEntry, Caller, Job, JobKind, Origin, Problem, RunCommands, Runner, SealedConfig, shell_quote,
};
use serde::Serialize;
use serde_json::json;
use store::{SealedCredential, Tx};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{app::AppState, error::ApiResult, openapi, warning::Warning};

/// Header that keeps intermediaries from storing a credential.
pub(crate) const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// Kind of credential that a job hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CredentialKind {
    /// A JIT config.
    JitConfig,
    /// A JIT config, sealed to the key of its request.
    SealedJitConfig,
    /// A registration token.
    RegistrationToken,
}

impl CredentialKind {
    /// Returns the value used in responses.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::JitConfig => "jit_config",
            Self::SealedJitConfig => "sealed_jit_config",
            Self::RegistrationToken => "registration_token",
        }
    }
}

/// A JIT config. The encoded config is a secret: its holder can act as the runner.
#[derive(Serialize, ToSchema)]
#[schema(as = Credential)]
pub(crate) struct CredentialView {
    /// Always `jit_config`.
    #[schema(schema_with = openapi::jit_config)]
    pub(crate) kind: CredentialKind,
    /// Our id of the runner.
    pub(crate) runner_id: Uuid,
    /// Name of the runner on GitHub.
    pub(crate) runner_name: String,
    /// Value for `./run.sh --jitconfig`.
    pub(crate) encoded_jit_config: String,
    /// Labels that GitHub bound to the runner.
    pub(crate) labels: Vec<String>,
    /// Time before which the runner must start.
    pub(crate) expires_at: DateTime<Utc>,
    /// Shell command that starts the runner.
    #[schema(example = "ACTIONS_RUNNER_INPUT_JITCONFIG='eyJ…' ./run.sh")]
    pub(crate) run_command: String,
    /// Shell command that passes the config as an argument. Every local user and the job itself can read it while it
    /// runs.
    #[schema(example = "./run.sh --jitconfig 'eyJ…'")]
    pub(crate) run_command_argv: String,
    /// The job that created the config.
    pub(crate) job_id: Uuid,
    /// Warnings about the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<Warning>,
}

/// A JIT config that only the private key of the request's `sealing_key` opens.
#[derive(Serialize, ToSchema)]
#[schema(as = SealedCredential)]
pub(crate) struct SealedCredentialView {
    /// Always `sealed_jit_config`.
    #[schema(schema_with = openapi::sealed_jit_config)]
    pub(crate) kind: CredentialKind,
    /// Our id of the runner.
    pub(crate) runner_id: Uuid,
    /// Name of the runner on GitHub.
    pub(crate) runner_name: String,
    /// The sealed config. It opens to the value for `./run.sh --jitconfig`.
    pub(crate) sealed_config: SealedConfig,
    /// Labels that GitHub bound to the runner.
    pub(crate) labels: Vec<String>,
    /// Time before which the runner must start.
    pub(crate) expires_at: DateTime<Utc>,
    /// The job that created the config.
    pub(crate) job_id: Uuid,
    /// Warnings about the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<Warning>,
}

/// A registration token. It is a secret: its holder can register runners for one hour.
#[derive(Serialize, ToSchema)]
#[schema(as = RegistrationToken)]
pub(crate) struct TokenView {
    /// Always `registration_token`.
    #[schema(schema_with = openapi::registration_token)]
    pub(crate) kind: CredentialKind,
    /// Our id of the runner.
    pub(crate) runner_id: Uuid,
    /// Name under which the runner must register itself.
    pub(crate) runner_name: String,
    /// Value for `./config.sh --token`.
    pub(crate) registration_token: String,
    /// Time before which the runner must be registered.
    pub(crate) expires_at: DateTime<Utc>,
    /// Value for `./config.sh --url`.
    pub(crate) github_url: String,
    /// Runner group that the runner will join.
    pub(crate) runner_group_id: i64,
    /// Whether the runner takes one workflow job and is then removed.
    pub(crate) ephemeral: bool,
    /// Labels that the runner must give itself.
    pub(crate) labels: Vec<String>,
    /// Shell command that registers the runner.
    #[schema(example = "./config.sh --unattended --url https://github.com/acme --token A… --name builder-7")]
    pub(crate) configuration_command: String,
    /// The job that created the token.
    pub(crate) job_id: Uuid,
}

/// Credential of a job that creates a runner.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Handout, discriminator(property_name = "kind", mapping(
    ("jit_config" = "#/components/schemas/Credential"),
    ("sealed_jit_config" = "#/components/schemas/SealedCredential"),
    ("registration_token" = "#/components/schemas/RegistrationToken"),
)))]
pub(crate) enum IssuedCredential {
    /// Result of `POST /runners/jit`.
    Jit(CredentialView),
    /// Result of `POST /runners/jit` with a `sealing_key`.
    Sealed(SealedCredentialView),
    /// Result of `POST /runners/provision`.
    Token(TokenView),
}

impl IssuedCredential {
    /// Returns the name and id of its runner, and the time before which it must be used.
    pub(crate) fn about(&self) -> (&str, Uuid, DateTime<Utc>) {
        match self {
            Self::Jit(view) => (&view.runner_name, view.runner_id, view.expires_at),
            Self::Sealed(view) => (&view.runner_name, view.runner_id, view.expires_at),
            Self::Token(view) => (&view.runner_name, view.runner_id, view.expires_at),
        }
    }

    /// Adds warnings. A registration token has none, because its request states no runner version.
    pub(crate) fn warn(&mut self, warnings: Vec<Warning>) {
        match self {
            Self::Jit(view) => view.warnings = warnings,
            Self::Sealed(view) => view.warnings = warnings,
            Self::Token(_) => {}
        }
    }
}

/// Response of a request for a JIT config; only a name for the API document.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = JitHandout, discriminator(property_name = "kind", mapping(
    ("jit_config" = "#/components/schemas/Credential"),
    ("sealed_jit_config" = "#/components/schemas/SealedCredential"),
)))]
#[expect(dead_code, reason = "the API document needs the schema; the value is an `IssuedCredential`")]
pub(crate) enum JitHandout {
    /// Without a `sealing_key`.
    Open(CredentialView),
    /// With a `sealing_key`.
    Sealed(SealedCredentialView),
}

/// Opens the job's credential for its requester and writes the audit row in the same transaction. Returns `None` if the
/// credential is gone or never existed.
///
/// # Errors
/// Refused if the caller has lost access to the team since the job was accepted.
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
    let view = open_credential(app, job, &credential, runner)?;
    tx.commit().await?;
    Ok(Some(view))
}

/// Checks that the caller still has access to the job's team: the job was accepted some time ago.
async fn still_allowed(tx: &mut Tx, caller: &Caller, job: &Job) -> ApiResult<Result<(), Problem>> {
    let Some(team) = job.team else { return Ok(Ok(())) };
    let access = tx.permissions().access(caller.requester, team).await?;
    Ok(access.map_or_else(|| Err(Problem::requester_inactive()), |access| access.check(job.kind)))
}

fn open_credential(
    app: &AppState,
    job: &Job,
    credential: &SealedCredential,
    runner: Runner,
) -> ApiResult<IssuedCredential> {
    let (runner_id, runner_name, expires_at) =
        (runner.id.uuid(), credential.runner_name.clone(), credential.expires_at);
    if let Some(sealed_config) = SealedConfig::of(&credential.sealed) {
        return Ok(IssuedCredential::Sealed(SealedCredentialView {
            kind: CredentialKind::SealedJitConfig,
            runner_id,
            runner_name,
            sealed_config,
            labels: runner.labels,
            expires_at,
            job_id: job.id.uuid(),
            warnings: Vec::new(),
        }));
    }
    let context = domain::credential_context(job.id, &credential.runner_name);
    let secret = app.keys.open(&context, &credential.sealed)?;
    if job.kind == JobKind::Register {
        let github_url = app.web_urls.get(&runner.installation).cloned().unwrap_or_default();
        return Ok(IssuedCredential::Token(TokenView {
            kind: CredentialKind::RegistrationToken,
            runner_id,
            configuration_command: configuration_command(&runner, &github_url, secret.expose()),
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
    let run = RunCommands::new(&secret);
    Ok(IssuedCredential::Jit(CredentialView {
        kind: CredentialKind::JitConfig,
        runner_id,
        runner_name,
        encoded_jit_config: secret.expose().to_owned(),
        labels: runner.labels,
        expires_at,
        run_command: run.by_environment,
        run_command_argv: run.by_argument,
        job_id: job.id.uuid(),
        warnings: Vec::new(),
    }))
}

/// Returns the shell command. Labels may contain any character except commas and control characters.
fn configuration_command(runner: &Runner, url: &str, token: &str) -> String {
    let mut words = vec!["./config.sh --unattended".to_owned()];
    let options =
        [("url", url), ("token", token), ("name", &runner.name), ("labels", &runner.labels.join(","))];
    words.extend(options.map(|(option, value)| format!("--{option} {}", shell_quote(value))));
    words.extend(
        runner.runner_group_name.as_deref().map(|group| format!("--runnergroup {}", shell_quote(group))),
    );
    if runner.ephemeral {
        words.push("--ephemeral".to_owned());
    }
    words.join(" ")
}
