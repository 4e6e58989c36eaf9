//! Attribution of webhook events to installations.

use github_twin::{TwinConfig, signature};
use harness::{ExtraInstallation, World};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{COMMON, SECOND, SECOND_ID, Scene, builder};

const OWN: &str = "a secret of its own, for tests";

/// Delivers an event signed with `secret`, processes it, and returns its outcome.
async fn deliver_event(world: &World, secret: &str, body: &Value) -> String {
    let (id, body) = (Uuid::new_v4(), body.to_string());
    let ask = world.ask("POST", "/webhooks/github").header("x-github-event", "workflow_job");
    let ask = ask.header("x-github-delivery", &id.to_string());
    let ask = ask.header("x-hub-signature-256", &signature(secret, body.as_bytes()));
    ask.raw("application/json", body.as_bytes()).send().await.assert_status(202);
    scheduler::inbox::run(world.scheduler_parts()).await.unwrap();
    let sql = "SELECT state || ': ' || coalesce(note, '') FROM webhook_inbox WHERE delivery_id = $1";
    world.text(sql, id).await
}

/// Returns the event of a job that runs on a runner.
fn running_job_event(runner: &github_twin::Runner, whose: &Value) -> Value {
    let mut body = json!({
        "action": "in_progress", "repository": { "full_name": "globex/web" },
        "workflow_job": {
            "id": 1, "run_id": 2, "status": "in_progress", "labels": ["self-hosted"], "runner_id": runner.id,
            "runner_name": runner.name, "workflow_name": "CI", "started_at": "2026-03-01T10:00:00Z",
        },
    });
    body.as_object_mut().unwrap().extend(whose.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn event_belongs_to_the_installation_of_its_signing_secret() {
    let more = ExtraInstallation {
        webhook_secret: Some(OWN.to_owned()),
        ..ExtraInstallation::org(SECOND, "globex")
    };
    let more_installations = vec![(SECOND_ID, "globex".to_owned())];
    let twin = TwinConfig { more_installations, ..TwinConfig::default() };
    let scene = Scene::start(World::builder().twin(twin).webhooks(COMMON).installation(more)).await;
    let world = &scene.world;
    let (asked, _) = scene.runner(&scene.bob).await;
    let runner = world.twin.runners().remove(0);
    let by_id = running_job_event(&runner, &json!({ "installation": { "id": SECOND_ID } }));
    assert_eq!(deliver_event(world, COMMON, &by_id).await, "ignored: of an installation that is not ours");
    let shown = world.get(&format!("/runners/{}", asked.runner), &scene.bob).await.assert_status(200).body;
    assert_eq!(shown["status"], "pending", "an event signed by one installation changes nothing of another");
    assert_eq!(deliver_event(world, OWN, &by_id).await, "processed: in progress");
    let unsigned = world.ask("POST", "/webhooks/github").header("x-github-event", "ping");
    let unsigned = unsigned.header("x-github-delivery", &Uuid::new_v4().to_string());
    let unsigned = unsigned.header("x-hub-signature-256", &signature("nobody's secret", b"{}"));
    unsigned.raw("application/json", "{}").send().await.refused(401, "webhook_signature_invalid");
    // Only one installation can have signed it.
    assert_eq!(
        deliver_event(world, OWN, &running_job_event(&runner, &json!({}))).await,
        "ignored: something newer is known"
    );
}

#[tokio::test]
async fn failed_deliveries_of_an_app_are_listed_once_for_all_its_installations() {
    let scene = Scene::start(builder().webhooks(COMMON)).await;
    let world = &scene.world;
    let listed = || world.twin.ledger().of("GET", "deliveries").count();
    scheduler::redeliver::run(world.scheduler_parts()).await.unwrap();
    assert_eq!(listed(), 1, "acme and globex are installations of one App");
    sqlx::query("UPDATE webhook_sweeps SET next_at = now()").execute(world.sql()).await.unwrap();
    let first = domain::InstallationId::default();
    world
        .queue()
        .pause(&first, std::time::Duration::from_mins(10), queue::Reason::SecondaryLimit)
        .await
        .unwrap();
    scheduler::redeliver::run(world.scheduler_parts()).await.unwrap();
    assert_eq!(listed(), 2, "another installation's credential reads the deliveries during the pause");
}

#[tokio::test]
async fn event_without_an_installation_belongs_to_its_organisation() {
    let scene = Scene::start(builder().webhooks(COMMON)).await;
    let world = &scene.world;
    scene.runner(&scene.bob).await;
    let runner = world.twin.runners().remove(0);
    let nobody = running_job_event(&runner, &json!({}));
    assert_eq!(
        deliver_event(world, COMMON, &nobody).await,
        "ignored: it does not say which installation it is about"
    );
    let other = running_job_event(&runner, &json!({ "organization": { "login": "acme" } }));
    assert_eq!(deliver_event(world, COMMON, &other).await, "ignored: on no runner of ours");
    let ours = running_job_event(&runner, &json!({ "organization": { "login": "Globex" } }));
    assert_eq!(deliver_event(world, COMMON, &ours).await, "processed: in progress");
}
