//! The audit log: filters, details and exports.

use harness::{World, provision_body, team_draft};
use serde_json::{Value, json};

use super::{audit_rows, shown};

#[tokio::test]
async fn rows_are_filtered_and_show_details_as_text() {
    let world = World::builder().workers(0).start().await;
    let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&blue]).await);
    let agent = "<script>alert(1)</script>";
    let ask = world.ask("POST", "/runners/jit").by(&ada).header("user-agent", agent);
    ask.json(&provision_body("ci")).send().await.assert_status(202);
    let refused = json!({ "runner_name_prefix": "ci", "labels": ["<img/src=x>"] });
    world.jit(&ada, &refused).await.refused(403, "label_policy_violation");
    let browser = world.sign_in(&ada).await;
    let page = browser.get("/audit").await.assert_status(200);
    assert!(page.text.contains("2 rows") && shown(&page).contains(agent), "{}", page.text);
    assert!(!page.text.contains("<script>alert") && !page.text.contains("<img/src=x"), "{}", page.text);
    let failed = browser.get("/audit?success=false&event_type=runner.provision").await.assert_status(200);
    assert!(failed.text.contains("1 row") && failed.text.contains("success:false"), "{}", failed.text);
    assert!(browser.get("/audit?user=eve").await.text.contains("No row fits."));
    browser.get("/audit?since=yesterday").await.assert_status(422);
    let other = world.sign_in(&bob).await.get("/audit").await.assert_status(200);
    assert!(other.text.contains("Nothing has happened yet."), "{}", other.text);
}

#[tokio::test]
async fn exports_run_through_the_session_and_are_recorded() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    world.provision(&ada, provision_body("ci")).await;
    let vera = world.sign_in(&world.viewer("vera").await).await;
    let page = vera.get("/audit?team=red").await.assert_status(200);
    for form in ["json", "jsonl", "csv"] {
        let link = format!("/audit/export?team=red&format={form}");
        assert!(shown(&page).contains(&link), "{link}: {}", page.text);
        let file = vera.get(&link).await.assert_status(200);
        let name = format!("attachment; filename=\"audit-log.{form}\"");
        assert_eq!(file.header("content-disposition"), name);
        assert!(file.text.contains("runner.provision"), "{}", file.text);
        if form == "json" {
            let rows: Vec<Value> = serde_json::from_str(&file.text).unwrap();
            assert_eq!(rows[0]["event_type"], "audit.export");
        }
    }
    assert_eq!(audit_rows(&world, "audit.export").await, 3);
    let member = world.sign_in(&ada).await;
    assert!(!member.get("/audit").await.text.contains("/audit/export"));
    member.get("/audit/export?format=json").await.assert_status(403);
    world.browser().get("/audit/export?format=json").await.assert_status(303);
    assert_eq!(audit_rows(&world, "audit.export").await, 3);
    vera.get("/audit/export?format=xml").await.assert_status(422);
}
