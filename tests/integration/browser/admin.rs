//! An admin in a browser, with and without JavaScript.

use harness::{Person, World, eventually, provision_body, team_draft};
use serde_json::json;
use store::UserDraft;

use super::{session, tell};

/// Makes GitHub refuse two runners with this message.
async fn refuse_two(world: &World, who: &Person, message: &str) {
    for _ in 0..2 {
        world.refuse_next_runner(message);
        let asked = world.provision(who, provision_body("ci")).await;
        assert_eq!(world.until_final(who, asked.job).await["state"], "failed");
    }
}

#[tokio::test]
async fn admin_acts_with_and_without_javascript() {
    if let Some(tools) = harness::tool("TEST_BROWSER") {
        let world = World::builder().workers(0).start().await;
        let red = world.team(team_draft("red")).await;
        let admin = UserDraft { is_admin: true, ..world.user_draft("root") };
        let root = world.person(admin, &[&red]).await;
        let worker = world.start_worker();
        refuse_two(&world, &root, "The first group is unknown").await;
        refuse_two(&world, &root, "The second group is unknown").await;
        worker.stop().await;
        for label in ["quantum-1", "quantum-2"] {
            let body = json!({ "runner_name_prefix": "ci", "labels": [label] });
            world.jit(&root, &body).await.refused(403, "label_policy_violation");
        }
        // No worker runs any more, and a job waits.
        world.provision(&root, provision_body("ci")).await;
        let browser = world.sign_in(&root).await;
        eventually("the board says that no worker runs", || async {
            browser.get("/").await.text.contains("■ Stopped").then_some(())
        })
        .await;
        let facts = json!({
            "url": world.url(), "session": session(&world, &root).await, "admin": root.email,
            "causes": { "scripted": "The first group", "plain": "The second group" },
            "invited": {
                "scripted": { "email": "ada@example.com", "name": "Ada" },
                "plain": { "email": "bob@example.com", "name": "Bob" },
            },
        });
        tell(&tools, "admin", &facts).await;
        assert_eq!(world.count("SELECT count(*) FROM batches").await, 2);
    }
}
