//! Requests that Schemathesis generates from the API description: no answer is a 500, and each is as described.
//!
//! `./dev test` installs the program and names it in `TEST_SCHEMATHESIS`; without it, `./dev` says aloud that nothing is
//! checked here. `./dev fuzz-api` runs more of them.

use std::{fs, path::Path, process::Stdio};

use harness::{Anyone, Bearer, World};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::populated::{Populated, populated};

/// Checks of each answer. Left out: that data which fits the schema is accepted, since the service also has rules that no
/// schema can express, such as policies and quotas.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,negative_data_rejection,ignored_auth,\
    unsupported_method,allow_header_conformance,use_after_free";

/// Requests per operation and phase, unless `FUZZ_EXAMPLES` says otherwise.
const EXAMPLES: &str = "4";

/// Starts a service that takes all kinds of requests.
async fn scene() -> Scene {
    Scene(populated(World::builder().registration_tokens().webhooks("hush")).await)
}

struct Scene(Populated);

/// Returns the API description in the program's dialect. OpenAPI 3.1 describes a stream as text, and the program expects
/// the schema of one event there.
fn description() -> String {
    let mut description: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    let answer = &mut description["paths"]["/api/v1/jobs/{job_id}/events"]["get"]["responses"]["200"];
    let text = &mut answer["content"]["text/event-stream"]["schema"];
    assert_eq!(text["type"], "string");
    *text = json!({
        "type": "object", "required": ["event", "data"],
        "properties": { "event": { "const": "status" }, "data": { "type": "string" } },
    });
    description.to_string()
}

impl Scene {
    /// Writes the ids of existing resources, one a line, into a file named after the path parameter.
    async fn write_ids(&self, folder: &Path) {
        for (parameter, sql) in [
            ("issuer", "SELECT DISTINCT issuer FROM users WHERE issuer IS NOT NULL"),
            ("team_id", "SELECT id::text FROM teams ORDER BY id"),
            // The callers of the runs keep their rights.
            ("user_id", "SELECT id::text FROM users WHERE subject NOT IN ('ada', 'root') ORDER BY id"),
            ("id", "SELECT id::text FROM oauth_clients ORDER BY id"),
            ("runner_id", "SELECT id::text FROM runners ORDER BY id"),
            ("job_id", "SELECT id::text FROM jobs ORDER BY id"),
            ("event_id", "SELECT id::text FROM security_events ORDER BY id"),
        ] {
            let ids: Vec<String> = sqlx::query_scalar(sql).fetch_all(self.0.world.sql()).await.unwrap();
            assert!(!ids.is_empty(), "{parameter}");
            let lines: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
            fs::write(folder.join(format!("{parameter}.txt")), lines.join("\n")).unwrap();
        }
    }

    /// Runs the program as one caller.
    ///
    /// # Panics
    /// With the program's report, when an answer is not as described.
    async fn generate(&self, program: &Path, who: &impl Bearer) {
        let folder = self.0.world.folder();
        self.write_ids(folder).await;
        fs::write(folder.join("schemathesis.toml"), include_str!("../fuzz/schemathesis.toml")).unwrap();
        fs::write(folder.join("openapi.json"), description()).unwrap();
        let mut command = Command::new(program);
        command.args(["--config-file", "schemathesis.toml", "run", "openapi.json", "--no-color"]);
        command.args(["--url", self.0.world.url(), "--checks", CHECKS, "--max-examples", &examples()]);
        command.current_dir(folder).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder);
        command.env("AUTHORIZATION", who.token().map_or_else(String::new, |token| format!("Bearer {token}")));
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[expect(clippy::disallowed_methods, reason = "a switch of these tests alone")]
fn examples() -> String {
    std::env::var("FUZZ_EXAMPLES").unwrap_or_else(|_| EXAMPLES.to_owned())
}

#[tokio::test]
async fn generated_requests_of_an_admin_are_answered_as_described() {
    if let Some(program) = harness::tool("TEST_SCHEMATHESIS") {
        let scene = scene().await;
        scene.generate(&program, &scene.0.root).await;
        scene.0.world.get("/auth/me", &scene.0.root).await.assert_status(200);
    }
}

#[tokio::test]
async fn generated_requests_of_a_member_are_answered_as_described() {
    if let Some(program) = harness::tool("TEST_SCHEMATHESIS") {
        let scene = scene().await;
        scene.generate(&program, &scene.0.ada).await;
        scene.0.world.get("/auth/me", &scene.0.ada).await.assert_status(200);
    }
}

#[tokio::test]
async fn generated_requests_without_a_token_are_answered_as_described() {
    if let Some(program) = harness::tool("TEST_SCHEMATHESIS") {
        let scene = scene().await;
        scene.generate(&program, &Anyone).await;
    }
}
