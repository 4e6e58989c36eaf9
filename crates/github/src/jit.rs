//! JIT configs: requesting one, and checking the response before it is used.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::Secret;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    call::Call,
    client::{GitHub, Ready},
    error::GitHubError,
    models::{JitConfig, JitConfigRequest, Runner},
};

const OPERATION: &str = "create_jit_config";
/// File of the runner's settings in a config.
const SETTINGS_FILE: &str = ".runner";

#[derive(Deserialize)]
struct JitConfigWire {
    runner: Runner,
    encoded_jit_config: String,
}

impl GitHub {
    /// Obtains a token and the budget's permit for one [`GitHub::create_jit_config_when_ready`]. Nothing is registered
    /// yet, so a caller can wait here without a commitment.
    ///
    /// # Errors
    /// [`GitHubError::Held`] if the budget holds the request, or the error of the token request.
    pub async fn prepare_jit_config(&self) -> Result<Ready, GitHubError> {
        self.prepare(&Call::post(OPERATION, String::new())).await
    }

    /// Registers a runner and returns its configuration, which cannot be fetched again.
    ///
    /// The request is sent once, and once more only after a 401 for a token that had worked for a while. After an error
    /// with the advice `Unclear`, or a `Conflict` on a name that only we can have used, look the name up.
    ///
    /// # Errors
    /// All errors of a call, and `Malformed` if the response is not the config of the requested runner.
    pub async fn create_jit_config_when_ready(
        &self,
        ready: Ready,
        request: &JitConfigRequest,
    ) -> Result<JitConfig, GitHubError> {
        let call = Call::post(OPERATION, self.actions("/runners/generate-jitconfig")).json(request)?;
        let reply = self.call_when_ready(&call, ready).await?;
        let of_reply = |error: GitHubError| error.with_request_id(reply.request_id());
        let wire: JitConfigWire = call.parse(&reply).map_err(of_reply)?;
        check_config(&wire, &request.name).map_err(|reason| of_reply(call.malformed(reason)))?;
        Ok(JitConfig {
            runner: wire.runner,
            encoded: Secret::new(wire.encoded_jit_config),
            request_id: reply.request_id(),
        })
    }

    /// Registers a runner with [`GitHub::prepare_jit_config`] and [`GitHub::create_jit_config_when_ready`].
    pub async fn create_jit_config(&self, request: &JitConfigRequest) -> Result<JitConfig, GitHubError> {
        let ready = self.prepare_jit_config().await?;
        self.create_jit_config_when_ready(ready, request).await
    }
}

/// Checks that this is the config of the requested runner. The reason never quotes the config.
fn check_config(wire: &JitConfigWire, name: &str) -> Result<(), &'static str> {
    if wire.runner.id <= 0 {
        return Err("the runner's id is not positive");
    }
    if !same_name(&wire.runner.name, name) {
        return Err("the runner has another name");
    }
    let files =
        decode_object(&wire.encoded_jit_config).ok_or("the config is not the base64 of a JSON object")?;
    let settings = files.get(SETTINGS_FILE).ok_or("the config holds no settings of a runner")?;
    let settings = settings.as_str().and_then(decode_object).ok_or("the config's settings cannot be read")?;
    // Missing values are accepted: the runner's own program decides what it needs.
    let other_name = settings.get("AgentName").and_then(Value::as_str).is_some_and(|n| !same_name(n, name));
    let other_id = settings.get("AgentId").and_then(integer).is_some_and(|id| id != wire.runner.id);
    if other_name || other_id { Err("the config is another runner's") } else { Ok(()) }
}

fn same_name(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// Returns a number, or one written as text.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn decode_object(base64: &str) -> Option<Map<String, Value>> {
    let bytes = STANDARD.decode(base64.trim()).ok()?;
    // The runner's program writes some of its files with a byte order mark.
    serde_json::from_slice(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(id: i64, name: &str, config: &str) -> JitConfigWire {
        let runner = json!({ "id": id, "name": name, "os": "unknown", "status": "offline", "busy": false, "labels": [] });
        let wire = json!({ "runner": runner, "encoded_jit_config": config });
        serde_json::from_value(wire).unwrap()
    }

    fn config(settings: &Value) -> String {
        let files = json!({ ".runner": STANDARD.encode(settings.to_string()), ".credentials": "e30=" });
        STANDARD.encode(files.to_string())
    }

    #[test]
    fn config_of_the_requested_runner_is_accepted() {
        for settings in [
            json!({ "AgentId": "7", "AgentName": "CI-1" }),
            json!({ "AgentId": 7, "AgentName": "ci-1", "PoolId": 1 }),
            json!({}),
        ] {
            assert_eq!(check_config(&answer(7, "Ci-1", &config(&settings)), "ci-1"), Ok(()), "{settings}");
        }
    }

    #[test]
    fn any_other_config_is_refused() {
        let good = config(&json!({ "AgentId": 7, "AgentName": "ci-1" }));
        for wire in [
            answer(0, "ci-1", &good),
            answer(-7, "ci-1", &good),
            answer(7, "ci-2", &good),
            answer(7, "", &good),
        ] {
            assert!(check_config(&wire, "ci-1").is_err());
        }
        let whole = |text: &str| STANDARD.encode(text);
        for bad in [
            String::new(),
            " ".to_owned(),
            "null".to_owned(),
            "not base64!".to_owned(),
            good[..good.len() - 5].to_owned(),
            whole("plain"),
            whole("[]"),
            whole("{}"),
            whole("null"),
            whole(r#"{".runner":7}"#),
            whole(r#"{".runner":""}"#),
            whole(r#"{".runner":"e3"}"#),
            config(&json!({ "AgentId": 7, "AgentName": "other" })),
            config(&json!({ "AgentId": "8", "AgentName": "ci-1" })),
        ] {
            assert!(check_config(&answer(7, "ci-1", &bad), "ci-1").is_err(), "{bad}");
        }
    }
}
