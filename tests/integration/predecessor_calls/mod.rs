//! The calls that the predecessor's dashboard makes, with its parameters, and exactly the members it reads.
//!
//! Scripts written for the predecessor make the same calls. The numbers are those of its list of 33 calls.

mod administration;
mod batches;
mod records;
mod runners;

use harness::{ApiResponse, Person, Team, World, team_draft};
use serde_json::Value;

/// The dashboard of an admin and of a member, on a service that waits as the predecessor did.
struct Scene {
    world: World,
    red: Team,
    root: Person,
    ada: Person,
}

async fn scene() -> Scene {
    let world = World::builder().default_wait_seconds(25).start().await;
    let red = world.team(team_draft("red")).await;
    Scene { root: world.admin().await, ada: world.user("ada", &[&red]).await, red, world }
}

impl Scene {
    async fn get(&self, path: &str) -> Value {
        self.world.get(path, &self.root).await.assert_status(200).body
    }

    async fn post(&self, path: &str, body: &Value) -> ApiResponse {
        self.world.post(path, &self.root, body).await
    }

    /// Sends a request without a body.
    async fn send(&self, method: &str, path: &str) -> ApiResponse {
        self.world.ask(method, path).by(&self.root).send().await
    }
}

/// Checks that an answer has members, none of them null.
#[track_caller]
fn assert_has(body: &Value, members: &[&str]) {
    for member in members {
        assert!(body.get(*member).is_some_and(|value| !value.is_null()), "{member} in {body}");
    }
}

/// Checks that an answer has members that may be null.
#[track_caller]
fn assert_knows(body: &Value, members: &[&str]) {
    for member in members {
        assert!(body.get(*member).is_some(), "{member} in {body}");
    }
}

/// Returns the rows of a list, and checks its total.
#[track_caller]
fn rows<'b>(body: &'b Value, plural: &str) -> &'b [Value] {
    let rows = body[plural].as_array().unwrap_or_else(|| panic!("{plural} in {body}"));
    assert_eq!(body["total"], rows.len(), "{body}");
    rows
}
