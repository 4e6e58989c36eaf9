//! Assignment of teams to installations.

use harness::{ApiResponse, Person, Team, World, provision_body, team_draft, wait_until};
use serde_json::json;
use store::TeamDraft;
use uuid::Uuid;

use super::{SECOND, builder, second};

/// Creates a team through the API.
async fn create_team(world: &World, root: &Person, name: &str, installation: &str) -> ApiResponse {
    world.post("/admin/teams", root, &json!({ "name": name, "installation": installation })).await
}

#[tokio::test]
async fn team_changes_installation_only_without_jobs_and_runners() {
    let world = builder().start().await;
    let root = world.admin().await;
    for nowhere in ["third", "Not a name", ""] {
        let refused = create_team(&world, &root, "green", nowhere).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), ["/installation"]);
    }
    let team = create_team(&world, &root, "green", SECOND).await.assert_status(201).body;
    assert_eq!(team["installation"], SECOND);
    let path = format!("/admin/teams/{}", team["id"].as_str().unwrap());
    let body = json!({ "installation": "third" });
    assert_eq!(
        world.patch(&path, &root, &body).await.refused(422, "validation_failed").pointers(),
        ["/installation"]
    );

    let id = team["id"].as_str().unwrap().parse::<Uuid>().unwrap();
    let green = Team { id: id.into(), name: "green".to_owned() };
    let eve = world.user("eve", &[&green]).await;
    let mut body = provision_body("ci");
    body["labels"] = json!(["self-hosted"]);
    let asked = world.provision(&eve, body).await;
    assert_eq!(world.until_final(&eve, asked.job).await["state"], "succeeded");
    let home = json!({ "installation": "default" });
    world.patch(&path, &root, &home).await.refused(409, "team_in_use");
    world.patch(&path, &root, &json!({ "installation": SECOND, "weight": 2.0 })).await.assert_status(200);
    let runner = format!("/runners/{}", asked.runner);
    world.ask("DELETE", &runner).by(&eve).header("prefer", "wait=20").send().await.assert_status(200);
    wait_until("its last job is final", || async {
        let moved = world.patch(&path, &root, &home).await;
        moved.status == 200 && moved.body["installation"] == "default"
    })
    .await;
}

#[tokio::test]
async fn team_with_runner_groups_moves_only_with_groups_of_its_new_installation() {
    let world = builder().workers(0).start().await;
    let root = world.admin().await;
    let new = json!({ "name": "green", "installation": "default", "allowed_runner_group_ids": [7] });
    let green = world.post("/admin/teams", &root, &new).await.assert_status(201).body;
    let path = format!("/admin/teams/{}", green["id"].as_str().unwrap());
    let refused = world.patch(&path, &root, &json!({ "installation": SECOND })).await;
    assert_eq!(refused.refused(422, "validation_failed").pointers(), ["/allowed_runner_group_ids"]);
    let kept = world.get(&path, &root).await.assert_status(200).body;
    assert_eq!((&kept["installation"], &kept["allowed_runner_group_ids"]), (&json!("default"), &json!([7])));
    let moved = json!({ "installation": SECOND, "allowed_runner_group_ids": [] });
    let moved = world.patch(&path, &root, &moved).await.assert_status(200).body;
    assert_eq!((&moved["installation"], &moved["allowed_runner_group_ids"]), (&json!(SECOND), &json!([])));
}

#[tokio::test]
async fn team_of_an_unserved_installation_is_refused() {
    let world = World::builder().workers(0).start().await;
    world.store().conn().await.unwrap().installations().ensure(&[second()]).await.unwrap();
    let blue = world.team(TeamDraft { installation: second(), ..team_draft("blue") }).await;
    let bob = world.user("bob", &[&blue]).await;
    let refused = world.jit(&bob, &provision_body("ci")).await.refused(503, "github_unavailable");
    assert!(refused.text.contains("`second` is not configured"), "{}", refused.text);
    assert_eq!(world.count("SELECT count(*) FROM jobs").await, 0);
}
