//! Key pairs of sealed configs: made for one request, kept until its config can no longer be fetched.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ValueEnum;
use domain::{RunCommands, SealedConfig, SealingKeyPair, sealed_config_context};
use serde_json::{Value, json};

use crate::{
    connection::{create_private_folder, read_private_file, replace_private_file_at_once},
    environment::Environment,
    error::ClientError,
    output::scalar,
};

/// Time after which no config can be fetched any more, so that its key is removed.
const KEY_LIFE: Duration = Duration::from_hours(24);
/// Most files that one command looks at to remove old keys.
const MAX_PRUNED: usize = 200;

/// When a config is sealed to a key of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Seal {
    /// If this command makes the idempotency key, and the service can seal.
    Auto,
    /// Always; a service that cannot seal is an error.
    Always,
    /// Never. The config can then be fetched from every machine of the caller.
    Never,
}

/// Adds the public key to a request.
pub(crate) fn add_key(body: &mut Value, pair: Option<&SealingKeyPair>) {
    if let Some(pair) = pair {
        body["sealing_key"] = json!(pair.public().to_string());
    }
}

/// Returns whether a service of an earlier release refused the request because it does not know sealing keys.
pub(super) fn is_unknown_to(error: &ClientError) -> bool {
    let ClientError::Problem(problem) = error else { return false };
    let unknown = |detail: &str| detail.contains("unknown field `sealing_key`");
    problem.status == 422 && problem.errors.iter().any(|error| unknown(&error.detail))
}

/// Returns the answer with an open config. An answer without a sealed config is returned as it is.
///
/// # Errors
/// [`ClientError::Failed`] if there is no key, or it does not open the config.
pub(crate) fn open(mut answer: Value, pair: Option<&SealingKeyPair>) -> Result<Value, ClientError> {
    if answer["sealed_config"].is_null() {
        return Ok(answer);
    }
    let job = scalar(&answer["job_id"]);
    let fault = |why: &str| ClientError::Failed(format!("the config of job {job} is sealed, and {why}"));
    let pair = pair.ok_or_else(|| fault("its key is not on this machine, or was removed"))?;
    let sealed: SealedConfig = serde_json::from_value(answer["sealed_config"].take())
        .map_err(|_| fault("this release does not know its form"))?;
    let context = sealed_config_context(&job, scalar(&answer["runner_id"]), &scalar(&answer["runner_name"]));
    let config = pair.open(&context, &sealed).map_err(|_| fault("its key does not open it"))?;
    if let Some(members) = answer.as_object_mut() {
        members.remove("sealed_config");
        let run = RunCommands::new(&config);
        members.insert("kind".to_owned(), json!("jit_config"));
        members.insert("encoded_jit_config".to_owned(), json!(config.expose()));
        members.insert("run_command".to_owned(), json!(run.by_environment));
        members.insert("run_command_argv".to_owned(), json!(run.by_argument));
    }
    Ok(answer)
}

fn file(environment: &Environment, job: &str) -> Option<PathBuf> {
    let is_id = !job.is_empty() && job.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_id.then(|| environment.state_folder()).flatten().map(|state| state.join("sealing-keys").join(job))
}

/// Keeps the key of a job, so that `rts job config` opens its config. Without a folder for it, the key is only in
/// memory.
pub(super) fn keep(environment: &Environment, job: &str, pair: Option<&SealingKeyPair>) {
    let (Some(pair), Some(path)) = (pair, file(environment, job)) else { return };
    let Some(folder) = path.parent() else { return };
    if create_private_folder(folder).is_ok() {
        prune(folder);
        // The runner waits for this. A key that could not be kept opens the config of this command all the same.
        let _ = replace_private_file_at_once(&path, pair.to_secret().expose());
    }
}

/// Returns the kept key of a job.
pub(super) fn kept(environment: &Environment, job: &str) -> Option<SealingKeyPair> {
    let text = read_private_file(&file(environment, job)?).ok().flatten()?;
    SealingKeyPair::from_secret(text.trim())
}

/// Removes the kept key of a job.
pub(super) fn remove(environment: &Environment, job: &str) {
    if let Some(path) = file(environment, job) {
        // The file of an older command may be gone already.
        let _ = fs::remove_file(path);
    }
}

fn prune(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_PRUNED);
    for entry in entries {
        let changed = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let age = changed.and_then(|changed| changed.elapsed().ok());
        if age.is_some_and(|age| age > KEY_LIFE) {
            // Another command may have removed it.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::WireProblem;

    #[test]
    fn old_services_refusal_of_the_key_is_recognised() {
        let refusal = |detail: &str| {
            let body =
                json!({ "code": "validation_failed", "errors": [{ "pointer": "", "detail": detail }] });
            ClientError::Problem(Box::new(WireProblem::read(422, &body)))
        };
        assert!(is_unknown_to(&refusal("unknown field `sealing_key`, expected one of `labels`")));
        assert!(!is_unknown_to(&refusal("a point of low order is no key; generate a new key pair")));
    }

    #[test]
    fn sealed_answer_without_its_key_is_an_error_and_an_open_one_stays() {
        let open_answer = json!({ "encoded_jit_config": "e", "job_id": "7" });
        assert_eq!(open(open_answer.clone(), None).unwrap(), open_answer);
        let sealed = json!({ "job_id": "7", "sealed_config": { "kem": "k" } });
        assert!(open(sealed, None).unwrap_err().to_string().contains("not on this machine"));
    }
}
