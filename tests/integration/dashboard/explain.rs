//! The explanation page, held against the decisions of the API.

use harness::{World, team_draft};
use serde_json::json;

use super::shown;

#[tokio::test]
async fn member_learns_the_rule_and_who_may_change_it() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    world.admin().await;
    let browser = world.sign_in(&ada).await;
    assert!(!browser.get("/explain").await.assert_status(200).text.contains("Decision"));
    let yes = shown(&browser.get("/explain?team=red&labels=linux,gpu-1").await.assert_status(200));
    assert!(yes.contains("would be accepted") && yes.contains("glob:gpu-*"), "{yes}");
    let no = shown(&browser.get("/explain?team=red&labels=cpu-1").await.assert_status(200));
    assert!(no.contains("label_policy_violation") && no.contains("root@example.com"), "{no}");
    let hostile = browser.get("/explain?labels=%3Cscript%3Ealert(1)%3C/script%3E").await;
    assert!(!hostile.text.contains("<script>alert"), "{}", hostile.text);
    let wrong = browser.get("/explain?team=red&repository=x").await.assert_status(422);
    assert!(shown(&wrong).contains("/repository"), "{}", wrong.text);
    // A member asks about nobody else.
    let other = shown(&browser.get("/explain?user=root@example.com&team=red&labels=cpu-1").await);
    assert!(!other.contains("Person <input") && other.contains("label_policy_violation"), "{other}");
    assert_eq!(world.count("SELECT count(*) FROM jobs").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM audit_log WHERE event_type = 'runner.provision'").await, 0);
}

#[tokio::test]
async fn admin_and_viewer_explain_requests_of_others() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    world.user("ada", &[]).await;
    let machine = world.machine("deploy", &red).await;
    for person in [world.admin().await, world.viewer("vera").await] {
        let browser = world.sign_in(&person).await;
        let no = shown(&browser.get("/explain?user=ada@example.com&team=red").await.assert_status(200));
        assert!(no.contains("team_forbidden"), "{no}");
        let yes = shown(&browser.get(&format!("/explain?client={}", machine.id)).await.assert_status(200));
        assert!(yes.contains("would be accepted"), "{yes}");
        let unknown = browser.get("/explain?user=eve@example.com").await.assert_status(422);
        assert!(shown(&unknown).contains("/user"), "{}", unknown.text);
        let none = browser.get("/explain?labels=linux").await.assert_status(422);
        assert!(shown(&none).contains("/team"), "{}", none.text);
        let body = json!({ "client": machine.client_id, "labels": [] });
        let answer = world.post("/admin/policies/explain", &person, &body).await.assert_status(200);
        assert_eq!(answer.body["allowed"], true);
    }
}
