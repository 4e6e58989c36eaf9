//! Installations of the App that GitHub suspends.

use harness::{World, provision_body, team_draft, wait_until};
use serde_json::json;

use super::{builder, deliver_webhook, outcome, payload, process_inbox};

const ID: u64 = 5_151_515;

async fn paused(world: &World) -> bool {
    !world.queue().pauses().await.unwrap().is_empty()
}

#[tokio::test]
async fn jobs_of_a_suspended_installation_wait_and_continue() {
    let world = builder().workers(1).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    world.twin.control().suspend(ID, true).unwrap();
    process_inbox(&world).await;
    assert!(paused(&world).await);
    let asked = world.provision(&ada, provision_body("ci")).await;
    assert_eq!(scheduler::suspension::run(world.scheduler_parts()).await.unwrap(), 0);
    assert_eq!(world.job(&ada, asked.job).await["state"], "queued");
    assert_eq!(world.twin.ledger().of("POST", "generate-jitconfig").count(), 0);

    world.twin.control().suspend(ID, false).unwrap();
    process_inbox(&world).await;
    assert!(!paused(&world).await);
    assert_eq!(world.until_final(&ada, asked.job).await["state"], "succeeded");
    let root = world.admin().await;
    let alarms = world.get("/admin/security-events", &root).await.assert_status(200).body;
    let types: Vec<&str> =
        alarms["events"].as_array().unwrap().iter().map(|one| one["event_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["installation_unsuspended", "installation_suspended"]);
}

#[tokio::test]
async fn unannounced_end_of_a_suspension_is_detected() {
    let world = builder().start().await;
    let mut body = payload("installation.suspend.json");
    body["installation"]["id"] = json!(ID);
    deliver_webhook(&world, "installation", &body).await;
    process_inbox(&world).await;
    assert!(paused(&world).await);
    assert_eq!(scheduler::suspension::run(world.scheduler_parts()).await.unwrap(), 1);
    assert!(!paused(&world).await);
}

#[tokio::test]
async fn late_suspension_does_not_undo_its_end() {
    let world = builder().start().await;
    let event = |file: &str, second: u32| {
        let mut body = payload(file);
        body["installation"]["id"] = json!(ID);
        body["installation"]["updated_at"] = json!(format!("2026-03-01T14:00:{second:02}Z"));
        body
    };
    deliver_webhook(&world, "installation", &event("installation.unsuspend.json", 30)).await;
    process_inbox(&world).await;
    let late = deliver_webhook(&world, "installation", &event("installation.suspend.json", 10)).await;
    process_inbox(&world).await;
    assert_eq!(outcome(&world, late).await, "ignored: nothing new");
    assert!(!paused(&world).await);
}

#[tokio::test]
async fn removed_installation_is_paused_and_new_permissions_are_recorded() {
    let world = builder().scheduler().start().await;
    for file in ["installation.new_permissions_accepted.json", "installation.deleted.json"] {
        let mut body = payload(file);
        body["installation"]["id"] = json!(ID);
        deliver_webhook(&world, "installation", &body).await;
    }
    let told = "SELECT count(*) FROM security_events WHERE event_type IN ('installation_permissions', 'installation_suspended')";
    wait_until("both are checked", async || world.count(told).await == 2).await;
    let noted = "SELECT count(*) FROM audit_log WHERE event_type = 'installation.changed'";
    assert!(world.count(noted).await >= 2);
}
