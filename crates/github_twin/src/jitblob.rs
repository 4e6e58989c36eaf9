//! Encoded JIT configs: base64 of a JSON object of base64 files, as the runner program reads it.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::state::Runner;

/// Returns the encoded config of one runner. Every private field holds the canary instead of key material.
pub(crate) fn encode(base: &str, runner: &Runner, work_folder: &str, canary: &str) -> String {
    let service = format!("{base}/_services/pipelines");
    let settings = json!({
        "AgentId": runner.id.to_string(), "AgentName": runner.name,
        "PoolId": runner.runner_group_id.to_string(), "PoolName": "Default",
        "ServerUrl": service, "ServerUrlV2": service, "GitHubUrl": "", "WorkFolder": work_folder,
        "Ephemeral": "True", "DisableUpdate": "False", "UseV2Flow": "True",
    });
    let credentials = json!({
        "scheme": "OAuth",
        "data": {
            "clientId": uuid::Uuid::new_v4().to_string(),
            "authorizationUrl": format!("{base}/_services/token"),
            "authorizationUrlV2": format!("{base}/_services/token"),
            "oauthEndpointUrl": format!("{base}/_services/token"),
            "requireFipsCryptography": "True",
        },
    });
    let part = |name: &str| format!("{canary}-{name}-{}", runner.id);
    let key = json!({
        "d": part("d"), "dp": part("dp"), "dq": part("dq"), "inverseQ": part("inverseQ"),
        "p": part("p"), "q": part("q"), "modulus": part("modulus"), "exponent": "AQAB",
    });
    let file = |v: &Value| STANDARD.encode(v.to_string());
    let blob = json!({
        ".runner": file(&settings), ".credentials": file(&credentials), ".credentials_rsaparams": file(&key),
    });
    STANDARD.encode(blob.to_string())
}

/// Returns every text that reveals the canary in an output: plain, and inside one to three layers of base64. Tests
/// search logs, tables and responses for all of them.
pub fn needles(canary: &str) -> Vec<String> {
    let mut all = vec![canary.to_owned()];
    let mut layer = vec![canary.to_owned()];
    for _ in 0..3 {
        layer = layer.iter().flat_map(|text| aligned(text)).filter(|t| t.len() >= 8).collect();
        all.extend(layer.iter().cloned());
    }
    all
}

/// Returns the part of the base64 of `text` that does not depend on its neighbours, for each of the three offsets.
fn aligned(text: &str) -> Vec<String> {
    let shift = |skip: usize| {
        let bytes = text.as_bytes().get(skip..).unwrap_or(&[]);
        STANDARD.encode(&bytes[..bytes.len() / 3 * 3])
    };
    (0..3).map(shift).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needles_find_the_canary_at_every_depth() {
        let canary = "CANARY-jit-private-key-of-the-twin";
        let needles = needles(canary);
        for pad in 0..3 {
            let mut text = format!("{}{canary}xyz", "a".repeat(pad));
            for _ in 0..4 {
                assert!(needles.iter().any(|n| text.contains(n)), "{text}");
                text = STANDARD.encode(format!("{{{text}}}"));
            }
        }
    }
}
