//! Exports, and the schema of the files.

use domain::ClaimRule;
use harness::{Anyone, team_draft};
use serde_json::{Value, json};
use store::{TeamDraft, UserDraft};

use super::{changes, scene};

#[tokio::test]
async fn export_applies_as_it_is() {
    let scene = scene().await;
    let world = &scene.world;
    let draft = TeamDraft {
        max_runners: Some(3),
        allowed_runner_group_ids: vec![2],
        weight: 2.5,
        ..team_draft("red")
    };
    let red = world.team(draft).await;
    let ada = world.user("ada", &[&red]).await;
    let rule = ClaimRule {
        subject: "repo:octo/web:ref:refs/heads/main".into(),
        claims: std::collections::BTreeMap::default(),
    };
    world.client("pipeline", &red, Some(rule)).await;
    world.machine("old", &red).await;
    sqlx::query("UPDATE oauth_clients SET is_active = false WHERE client_id = 'old'")
        .execute(world.sql())
        .await
        .unwrap();
    world.person(UserDraft { email: None, ..world.user_draft("nameless") }, &[&red]).await;

    let export = world.get("/admin/export/teams", &scene.root).await.assert_status(200).body;
    let remark = "1 people have no e-mail address; a file cannot describe them or their memberships.";
    assert_eq!(export["remarks"], json!([remark]));
    let file = &export["file"];
    let team = &file["teams"][0];
    assert_eq!(
        team,
        &json!({
            "name": "red", "required_labels": ["team-red"], "optional_label_patterns": ["glob:gpu-*"],
            "add_self_hosted": false, "allowed_runner_group_ids": [2], "max_runners": 3, "weight": 2.5,
            "members": [ada.email],
            "clients": [
                { "client_id": "old", "issuer": world.issuer().url(), "is_active": false },
                { "client_id": "pipeline", "issuer": world.issuer().url(),
                  "rule": { "subject": "repo:octo/web:ref:refs/heads/main", "claims": {} } },
            ],
        })
    );
    let plan = scene.applied(file, &json!({ "dry_run": true })).await;
    let adopted = changes(&plan);
    assert!(adopted.iter().all(|change| change.starts_with("adopt ")), "{adopted:?}");
    assert_eq!(adopted.len(), 6);
    scene.applied(file, &json!({})).await;
    assert_eq!(changes(&scene.applied(file, &json!({ "prune": true })).await), Vec::<String>::new());

    let vera = world.user("vera", &[]).await;
    world.get("/admin/export/teams", &vera).await.refused(403, "admin_required");
}

#[tokio::test]
async fn schema_is_served_without_a_token() {
    let scene = scene().await;
    let answer =
        scene.world.request("GET", "/schemas/teams.json").by(&Anyone).send().await.assert_status(200);
    assert_eq!(answer.body, api::teams_schema());
    let team: &Value = &answer.body["$defs"]["TeamEntry"];
    assert_eq!((&team["additionalProperties"], &team["required"]), (&json!(false), &json!(["name"])));
}
