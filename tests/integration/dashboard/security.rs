//! Security pages: events, their acknowledgement, and the incident switch.

use harness::{Browser, Person, Team, World, provision_body, team_draft};
use serde_json::json;

use super::{audit_rows, shown};

struct Scene {
    world: World,
    red: Team,
    ada: Person,
    root: Browser,
}

async fn scene() -> Scene {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let root = world.sign_in(&world.admin().await).await;
    Scene { ada: world.user("ada", &[&red]).await, root, red, world }
}

#[tokio::test]
async fn event_is_read_and_acknowledged_once() {
    let scene = scene().await;
    let (world, root) = (&scene.world, &scene.root);
    assert!(root.get("/security").await.assert_status(200).text.contains("No security event."));
    let body = json!({ "runner_name_prefix": "ci", "labels": ["<svg/onload=alert(1)>"] });
    world.jit(&scene.ada, &body).await.refused(403, "label_policy_violation");
    let list = root.get("/security?severity=medium&acknowledged=false").await.assert_status(200);
    assert!(list.text.contains("label_policy_violation") && list.text.contains("not yet"), "{}", list.text);
    let id = list.text.split("href=\"/security/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let path = format!("/security/{id}");
    let event = root.get(&path).await.assert_status(200);
    assert!(
        event.text.contains("What to do:") && event.text.contains("Talk to the requester"),
        "{}",
        event.text
    );
    assert!(shown(&event).contains("<svg/onload") && !event.text.contains("<svg/onload"), "{}", event.text);

    let act = format!("{path}/acknowledge");
    assert!(root.get(&act).await.assert_status(200).text.contains("cannot be taken back"));
    root.post(&act, &[("note", "")]).await.assert_status(422);
    let (member, vera) = (world.sign_in(&scene.ada).await, world.sign_in(&world.viewer("vera").await).await);
    for browser in [&member, &vera] {
        browser.post(&act, &[("note", "seen")]).await.assert_status(403);
    }
    member.get(&path).await.assert_status(403);
    assert!(!vera.get(&path).await.assert_status(200).text.contains("/acknowledge"));
    assert_eq!(audit_rows(world, "security.acknowledge").await, 0);
    root.post(&act, &[("note", "talked to <b>ada</b>")]).await.assert_status(303);
    let seen = root.get(&path).await.assert_status(200);
    assert!(shown(&seen).contains("talked to <b>ada</b>") && !seen.text.contains("<b>ada"), "{}", seen.text);
    assert!(!seen.text.contains("/acknowledge"), "{}", seen.text);
    assert_eq!(audit_rows(world, "security.acknowledge").await, 1);
    root.get(&format!("/security/{}", uuid::Uuid::nil())).await.assert_status(404);
}

#[tokio::test]
async fn incident_switch_lists_ends_and_restores() {
    let scene = scene().await;
    let (world, root) = (&scene.world, &scene.root);
    let asked = world.provision(&scene.ada, provision_body("ci")).await;
    let preview = root.get("/incidents/new?kind=team&name=red").await.assert_status(200);
    assert!(preview.text.contains("End the access of red?"), "{}", preview.text);
    assert!(preview.text.contains("1 open request is cancelled."), "{}", preview.text);
    let count = preview.text.split("name=\"count\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    root.get("/incidents/new?kind=team&name=blue").await.assert_status(422);

    let fields = |count, typed, reason| {
        [("kind", "team"), ("name", "red"), ("count", count), ("typed", typed), ("reason", reason)]
    };
    let reason = "the token of its pipeline is stolen";
    for wrong in [fields(count, "rad", reason), fields("77", "red", reason), fields(count, "red", "short")] {
        root.post("/incidents/new", &wrong).await.assert_status(422);
    }
    let member = world.sign_in(&scene.ada).await;
    member.post("/incidents/new", &fields(count, "red", reason)).await.assert_status(403);
    assert_eq!(world.job(&scene.ada, asked.job).await["state"], "queued");
    assert_eq!(audit_rows(world, "incident.revoke").await, 0);

    let begun = root.post("/incidents/new", &fields(count, "red", reason)).await.assert_status(303);
    let report = root.get(begun.header("location")).await.assert_status(200);
    assert!(report.text.contains(reason) && report.text.contains("team red"), "{}", report.text);
    assert_eq!(world.job(&scene.ada, asked.job).await["state"], "cancelled");
    world.jit(&scene.ada, &provision_body("ci")).await.refused(403, "team_inactive");
    assert!(root.get("/security").await.text.contains(begun.header("location")));

    let undo = format!("{}/undo", begun.header("location"));
    root.get(&undo).await.assert_status(200);
    root.post(&undo, &[]).await.assert_status(303);
    assert_eq!(
        (audit_rows(world, "incident.revoke").await, audit_rows(world, "incident.undo").await),
        (1, 1)
    );
    world.provision(&scene.ada, provision_body("ci")).await;
    assert_eq!(
        world.get(&format!("/admin/teams/{}", scene.red.id), &scene.ada).await.body["is_active"],
        true
    );
}
