//! Ownership: rows made by hand and rows of other files are left alone.

use harness::team_draft;
use serde_json::json;

use super::{changes, scene};

#[tokio::test]
async fn prune_ends_only_rows_of_its_owner() {
    let scene = scene().await;
    let world = &scene.world;
    let by_hand = world.team(team_draft("by-hand")).await;
    let grace = world.user("grace", &[&by_hand]).await;
    world.machine("by-hand-ci", &by_hand).await;
    let document = json!({
        "people": [{ "email": "ada@example.com" }, { "email": "linus@example.com" }],
        "teams": [
            { "name": "web", "members": ["ada@example.com", "linus@example.com", grace.email] },
            { "name": "games", "clients": [{ "client_id": "games-ci" }] },
        ],
    });
    scene.applied(&document, &json!({ "owner": "repo-a" })).await;
    let other = json!({ "teams": [{ "name": "other" }] });
    scene.applied(&other, &json!({ "owner": "repo-b" })).await;

    let fewer = json!({
        "people": [{ "email": "ada@example.com" }],
        "teams": [{ "name": "web", "members": ["ada@example.com"] }],
    });
    let kept = scene.applied(&fewer, &json!({ "owner": "repo-a" })).await;
    assert_eq!(changes(&kept), Vec::<String>::new(), "without prune nothing ends");
    let allow = json!({ "owner": "repo-a", "prune": true, "allow": { "many": true } });
    let plan = scene.applied(&fewer, &allow).await;
    let mut ended = changes(&plan);
    ended.sort_unstable();
    assert_eq!(
        ended,
        [
            "deactivate client games-ci of games",
            "deactivate person linus@example.com",
            "deactivate team games",
            "remove member grace@example.com of web",
            "remove member linus@example.com of web",
        ]
    );
    let active = "SELECT count(*) FROM teams WHERE is_active AND name IN ('web', 'other', 'by-hand')";
    assert_eq!(world.count(active).await, 3);
    let members = "SELECT count(*) FROM team_members JOIN teams ON teams.id = team_id WHERE name = 'by-hand'";
    assert_eq!(world.count(members).await, 1, "a membership made by hand stays");
    assert_eq!(world.count("SELECT count(*) FROM users WHERE is_active").await, 3);
}

#[tokio::test]
async fn named_row_of_hand_is_adopted_and_a_row_of_another_owner_refused() {
    let scene = scene().await;
    let world = &scene.world;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let same = json!({
        "people": [{ "email": ada.email }],
        "teams": [{ "name": "red", "required_labels": ["team-red"], "optional_label_patterns": ["glob:gpu-*"],
            "add_self_hosted": false, "members": [ada.email] }],
    });
    let plan = scene.applied(&same, &json!({ "owner": "repo-a" })).await;
    let adopted = ["adopt person ada@example.com", "adopt team red", "adopt member ada@example.com of red"];
    assert_eq!(changes(&plan), adopted);

    let before = scene.rows().await;
    let refused = scene.apply(&same, &json!({ "owner": "repo-b" })).await.refused(422, "validation_failed");
    let places = ["/documents/0/people/0", "/documents/0/teams/0", "/documents/0/teams/0/members/0"];
    assert_eq!(refused.pointers(), places);
    assert!(refused.text.contains("`repo-a`"), "{}", refused.text);
    assert_eq!(scene.rows().await, before);
}
