//! GitHub webhooks: received, processed and applied.
#![cfg(test)]

mod jobs;
mod lost;
mod policy;
mod replay;
mod signature;
mod suspension;

use std::path::Path;

use github_twin::{RunnerChange, signature};
use harness::{ApiResponse, Builder, Person, Team, World, provision_body, team_draft};
use serde_json::{Value, json};
use store::TeamDraft;
use uuid::Uuid;

const SECRET: &str = "a webhook secret of the tests";

fn builder() -> Builder {
    World::builder().workers(0).webhooks(SECRET)
}

/// Returns a payload of this repository.
fn payload(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/webhooks").join(file);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Sends a signed body as GitHub would.
async fn send_webhook(world: &World, event: &str, id: Uuid, body: &[u8]) -> ApiResponse {
    world
        .ask("POST", "/webhooks/github")
        .header("x-github-event", event)
        .header("x-github-delivery", &id.to_string())
        .header("x-hub-signature-256", &signature(SECRET, body))
        .raw("application/json", body)
        .send()
        .await
}

/// Sends a body with a new delivery id, expects 202, and returns the id.
async fn deliver_webhook(world: &World, event: &str, body: &Value) -> Uuid {
    let id = Uuid::new_v4();
    let answer = send_webhook(world, event, id, body.to_string().as_bytes()).await.assert_status(202);
    assert_eq!(answer.body["delivery_id"], json!(id));
    id
}

/// Processes all received deliveries.
async fn process_inbox(world: &World) {
    world.twin.webhooks_sent().await;
    scheduler::inbox::run(world.scheduler_parts()).await.unwrap();
}

/// Returns state and note of a delivery.
async fn outcome(world: &World, id: Uuid) -> String {
    let sql = "SELECT state || ': ' || coalesce(note, '') FROM webhook_inbox WHERE delivery_id = $1";
    world.text(sql, id).await
}

/// A runner that is online on GitHub, and its owner.
struct Scene {
    world: World,
    red: Team,
    ada: Person,
    runner: Uuid,
    name: String,
    github_id: u64,
}

impl Scene {
    async fn start(builder: Builder, draft: TeamDraft) -> Self {
        let world = builder.start().await;
        let red = world.team(draft).await;
        let ada = world.user("ada", &[&red]).await;
        let worker = world.start_worker();
        let mut body = provision_body("ci");
        body["labels"] = json!(["gpu-7", "self-hosted"]);
        let asked = world.provision(&ada, body).await;
        assert_eq!(world.until_final(&ada, asked.job).await["state"], "succeeded");
        worker.stop().await;
        let github_id = world.twin.runner(&asked.name).unwrap().id;
        world.twin.control().set_runner(github_id, RunnerChange::online()).unwrap();
        Self { world, red, ada, runner: asked.runner, name: asked.name, github_id }
    }

    /// Returns the runner's status and whether it is busy.
    async fn status_and_busy(&self) -> (String, bool) {
        let runner =
            self.world.get(&format!("/runners/{}", self.runner), &self.ada).await.assert_status(200).body;
        (runner["status"].as_str().unwrap().to_owned(), runner["busy"].as_bool().unwrap())
    }

    /// Returns a payload about this runner, `second` seconds after ten o'clock.
    fn event(&self, file: &str, job: i64, second: u32) -> Value {
        let mut body = payload(file);
        body["installation"]["id"] = json!(5_151_515);
        let about = &mut body["workflow_job"];
        about["id"] = json!(job);
        about["runner_id"] = json!(self.github_id);
        about["runner_name"] = json!(self.name);
        let time = format!("2026-03-01T10:00:{second:02}Z");
        let field = if about["completed_at"].is_null() { "started_at" } else { "completed_at" };
        about[field] = json!(time);
        body
    }

    /// Returns the security events of a type, newest first.
    async fn security_events(&self, event_type: &str) -> Vec<Value> {
        let root = self.world.person(
            store::UserDraft {
                is_admin: true,
                ..self.world.user_draft(&format!("root-{}", Uuid::new_v4().simple()))
            },
            &[],
        );
        let path = format!("/admin/security-events?event_type={event_type}");
        self.world.get(&path, &root.await).await.assert_status(200).body["events"].as_array().unwrap().clone()
    }
}

/// Creates the default scene.
async fn scene() -> Scene {
    Scene::start(builder(), team_draft("red")).await
}
