//! Calls 8, 14 and 15: many runners or people at once.

use harness::eventually;
use serde_json::{Value, json};

use super::{Scene, assert_has, scene};

impl Scene {
    /// Sends a batch, and checks the members that the dashboard reads.
    async fn batch(&self, action: &str, body: &Value) -> Value {
        let batch = self.post(&format!("/admin/batch/{action}"), body).await.assert_status(200).body;
        assert_has(&batch, &["success", "action", "affected_count", "failed_count", "comment", "details"]);
        assert_eq!((&batch["success"], &batch["failed_count"]), (&json!(true), &json!(0)), "{batch}");
        assert_eq!(batch["comment"], body["comment"]);
        assert_eq!(batch["action"], action.replace('-', "_"));
        batch
    }
}

#[tokio::test]
async fn people_are_disabled_and_restored() {
    let scene = scene().await;
    let bob = scene.world.user("bob", &[]).await;
    let some = json!({ "comment": "left the company", "user_ids": [scene.ada.id, bob.id] });
    // 14
    let disabled = scene.batch("disable-users", &some).await;
    assert_eq!(disabled["affected_count"], 2);
    for item in disabled["details"].as_array().unwrap() {
        assert_has(item, &["user_id", "email", "status"]);
    }
    // 15
    let restored = scene.batch("restore-users", &some).await;
    assert_eq!(restored["affected_count"], 2);

    // The predecessor took no ids for everybody. Here everybody is said aloud.
    let everybody = json!({ "comment": "left the company", "exclude_admins": true });
    let refused = scene.post("/admin/batch/disable-users", &everybody).await;
    let refused = refused.refused(422, "validation_failed");
    assert!(refused.text.contains("all"), "{}", refused.text);
    scene.world.get("/auth/me", &scene.ada).await.assert_status(200);
}

#[tokio::test]
async fn runners_are_deleted_by_id_and_by_person() {
    let scene = scene().await;
    let (world, ada) = (&scene.world, &scene.ada);
    let mut made = Vec::new();
    for prefix in ["one", "two"] {
        let runner = world.jit(ada, &json!({ "runner_name_prefix": prefix, "labels": ["gpu-1"] })).await;
        made.push(runner.assert_status(201).body["runner_id"].clone());
    }
    // 8
    let by_id = json!({ "comment": "no longer needed", "runner_ids": [made[0]] });
    assert_eq!(scene.batch("delete-runners", &by_id).await["affected_count"], 1);
    let path = format!("/runners/{}", made[0].as_str().unwrap());
    eventually("the removal", || async {
        let runner = world.get(&path, ada).await.assert_status(200).body;
        (runner["status"] == "deleted").then_some(())
    })
    .await;
    let by_person = json!({ "comment": "no longer needed", "user_identity": "ada@example.com" });
    let deleted = scene.batch("delete-runners", &by_person).await;
    assert_eq!(deleted["details"][0]["runner_id"], made[1], "{deleted}");
    assert_eq!(deleted["affected_count"], 1);
}
