//! Migration of the predecessor's label policies of single users.

use harness::{World, provision_body, team_draft};
use serde_json::{Value, json};

struct Scene {
    world: World,
    file: String,
}

impl Scene {
    /// Writes the policies as the predecessor's API returns them.
    async fn with(policies: &Value) -> Self {
        let world = World::start().await;
        let file = world.folder().join("policies.json");
        std::fs::write(&file, json!({ "policies": policies, "total": 1 }).to_string()).unwrap();
        Self { world, file: file.to_str().unwrap().to_owned() }
    }

    async fn migrate(&self, words: &[&str], code: i32) -> (String, String) {
        let words = [&["migrate-label-policies", self.file.as_str()], words].concat();
        let said = self.world.command(&words, &[]).await.expect(code);
        (said.stdout.clone(), said.stderr.clone())
    }
}

#[tokio::test]
async fn policy_becomes_a_team_of_one_with_its_labels_and_limit() {
    let policy = json!({ "user_identity": "ada@example.com", "allowed_labels": ["linux", "gpu"],
        "label_patterns": ["web-.*"], "max_runners": 1, "require_approval": false, "created_by": "root" });
    let scene = Scene::with(&json!([policy])).await;
    let world = &scene.world;
    let ada = world.user("ada", &[]).await;
    world.jit(&ada, &provision_body("ci")).await.refused(403, "team_forbidden");

    let (shown, remark) = scene.migrate(&["--dry-run"], 0).await;
    assert_eq!(shown, "ada@example.com: team user-ada-example-com\n");
    assert_eq!(remark, "1 teams would be made, 0 policies skipped\n");
    assert_eq!(world.count("SELECT count(*) FROM teams").await, 0);

    scene.migrate(&[], 0).await;
    let wrong = json!({ "runner_name_prefix": "ci", "labels": ["fpga"] });
    world.jit(&ada, &wrong).await.refused(403, "label_policy_violation");
    let right = json!({ "runner_name_prefix": "ci", "labels": ["linux", "GPU", "web-1"] });
    world.jit(&ada, &right).await.assert_status(202);
    world.jit(&ada, &right).await.refused(403, "quota_exceeded");
    for event in ["team.create", "member.add"] {
        let rows = "SELECT count(*) FROM audit_log WHERE event_type = $1
            AND event_data ->> 'by' = 'rts migrate-label-policies'";
        let rows: i64 = sqlx::query_scalar(rows).bind(event).fetch_one(world.sql()).await.unwrap();
        assert_eq!(rows, 1, "{event}");
    }

    // The command may be repeated: the user acts for a team now.
    let (shown, _) = scene.migrate(&[], 4).await;
    assert!(shown.contains("skipped") && shown.contains("user-ada-example-com"), "{shown}");
    assert_eq!(world.count("SELECT count(*) FROM teams").await, 1);
}

#[tokio::test]
async fn policies_that_cannot_be_kept_are_skipped_with_the_reason() {
    let policy = |who: &str| json!({ "user_identity": who, "allowed_labels": "[\"gpu\"]" });
    let mut approved = policy("eve@example.com");
    approved["require_approval"] = json!(1);
    let mut broken = policy("bob@example.com");
    broken["label_patterns"] = json!(["("]);
    let policies = json!([policy("ada@example.com"), approved, broken, policy("stranger@example.com")]);
    let scene = Scene::with(&policies).await;
    let world = &scene.world;
    let red = world.team(team_draft("red")).await;
    for (name, teams) in [("ada", vec![&red]), ("eve", vec![]), ("bob", vec![])] {
        world.user(name, &teams).await;
    }
    let (shown, _) = scene.migrate(&[], 4).await;
    let reasons = ["for a team already: red", "approval", "/optional_label_patterns/1", "no user with this"];
    for (line, reason) in shown.lines().zip(reasons) {
        assert!(line.contains("skipped") && line.contains(reason), "{line}");
    }
    assert_eq!(shown.lines().count(), 4);
    assert_eq!(world.count("SELECT count(*) FROM teams").await, 1);
}

#[tokio::test]
async fn unreadable_file_changes_nothing() {
    let scene = Scene::with(&json!([{ "user_identity": "ada@example.com" }])).await;
    let (_, remark) = scene.migrate(&[], 1).await;
    assert!(remark.contains("policies.json"), "{remark}");
    assert_eq!(scene.world.count("SELECT count(*) FROM teams").await, 0);
}
