//! Pages of people: invitation, role, and the end of an account.

use harness::{World, provision_body, team_draft};

use super::{audit_rows, shown};

#[tokio::test]
async fn admin_invites_a_person_into_a_team() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let root = world.sign_in(&world.admin().await).await;
    let form = root.get("/people/new").await.assert_status(200);
    assert!(form.text.contains("value=\"member\" required checked"), "{}", form.text);
    let fields = |email, teams| {
        [
            ("email", email),
            ("role", "viewer"),
            ("can_use_jit", "1"),
            ("teams", teams),
            ("display_name", "<u>Eve</u>"),
        ]
    };
    for (email, teams, pointer) in [("no address", "red", "/email"), ("eve@example.com", "blue", "/team_ids")]
    {
        let wrong = root.post("/people/new", &fields(email, teams)).await.assert_status(422);
        assert!(shown(&wrong).contains(pointer) && wrong.text.contains("field-error"), "{}", wrong.text);
    }
    let made = root.post("/people/new", &fields("eve@example.com", "red")).await.assert_status(303);
    let page = root.get(made.header("location")).await.assert_status(200);
    assert!(
        page.text.contains("eve@example.com was invited") && page.text.contains("not bound yet"),
        "{}",
        page.text
    );
    assert!(
        page.text.contains(&format!("/teams/{}", red.id)) && !page.text.contains("<u>Eve"),
        "{}",
        page.text
    );
    root.post("/people/new", &fields("eve@example.com", "red")).await.assert_status(409);
    assert_eq!(audit_rows(&world, "user.create").await, 1);
    let list = root.get("/people?q=eve").await.assert_status(200);
    assert!(list.text.contains("1 person") && list.text.contains("invited"), "{}", list.text);
    assert!(root.get("/people?q=nothing").await.text.contains("No person fits."));
}

#[tokio::test]
async fn role_changes_with_a_reason_and_at_once() {
    let world = World::builder().workers(0).start().await;
    let (root, ada) = (world.admin().await, world.user("ada", &[]).await);
    let (admin, member) = (world.sign_in(&root).await, world.sign_in(&ada).await);
    let path = format!("/people/{}", ada.id);
    member.get(&path).await.assert_status(403);
    let fields = |reason| [("role", "viewer"), ("can_use_jit", "1"), ("comment", reason)];
    admin.post(&format!("{path}/role"), &fields("")).await.assert_status(422);
    member.post(&format!("{path}/role"), &fields("me")).await.assert_status(403);
    assert_eq!(audit_rows(&world, "user.update").await, 0);
    admin.post(&format!("{path}/role"), &fields("audits the service")).await.assert_status(303);
    assert_eq!(audit_rows(&world, "user.update").await, 1);
    let seen = member.get(&path).await.assert_status(200);
    assert!(!seen.text.contains("/role\"") && !seen.text.contains("/deactivate\""), "a viewer has no button");
    member.post(&format!("{path}/role"), &fields("me")).await.assert_status(403);
}

#[tokio::test]
async fn last_admin_stays_and_the_page_says_so() {
    let world = World::builder().workers(0).start().await;
    let root = world.admin().await;
    let admin = world.sign_in(&root).await;
    let path = format!("/people/{}", root.id);
    let page = admin.get(&path).await.assert_status(200);
    assert!(page.text.contains("The last admin") && !page.text.contains("/deactivate\""), "{}", page.text);
    assert!(page.text.contains("/end-sessions\""), "signing out takes no right away: {}", page.text);
    let fields = [("comment", "holidays")];
    for action in ["deactivate", "unbind"] {
        let refused = admin.post(&format!("{path}/{action}"), &fields).await.assert_status(409);
        assert!(shown(&refused).contains("last_admin"), "{}", refused.text);
    }
    let member = [("role", "member"), ("comment", "holidays")];
    admin.post(&format!("{path}/role"), &member).await.assert_status(409);
    admin.get(&path).await.assert_status(200);
}

#[tokio::test]
async fn admin_signs_a_person_out_everywhere() {
    let world = World::builder().workers(0).start().await;
    let (root, ada) = (world.admin().await, world.user("ada", &[]).await);
    let (admin, path) = (world.sign_in(&root).await, format!("/people/{}", ada.id));
    let page = admin.get(&path).await.assert_status(200);
    assert!(page.text.contains("in no browser") && !page.text.contains("/end-sessions\""), "{}", page.text);
    let (desk, laptop) = (world.sign_in(&ada).await, world.sign_in(&ada).await);
    let page = admin.get(&path).await.assert_status(200);
    assert!(page.text.contains("/end-sessions\""), "{}", page.text);
    assert_eq!(page.text.matches("data-label=\"Browser\"").count(), 2, "{}", page.text);
    assert!(admin.get(&format!("/people/{}", root.id)).await.text.contains("this browser"));
    let preview = admin.get(&format!("{path}/end-sessions")).await.assert_status(200);
    assert!(shown(&preview).contains("2 sessions end now, with all pages and streams."), "{}", preview.text);
    let again = admin.post(&format!("{path}/end-sessions"), &[("comment", " ")]).await.assert_status(422);
    assert!(again.text.contains("Sign ada@example.com out everywhere?"), "{}", again.text);
    desk.get("/runners").await.assert_status(200);
    let fields = [("comment", "laptop lost")];
    let ended = admin.post(&format!("{path}/end-sessions"), &fields).await.assert_status(303);
    assert!(admin.get(ended.header("location")).await.text.contains("2 sessions have ended."));
    for browser in [desk, laptop] {
        browser.get("/runners").await.assert_status(303);
    }
    world.sign_in(&ada).await.get("/runners").await.assert_status(200);
    admin.post(&format!("/people/{}/end-sessions", uuid::Uuid::nil()), &fields).await.assert_status(404);
}

#[tokio::test]
async fn deactivated_person_loses_requests_and_session() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let (root, ada) = (world.admin().await, world.user("ada", &[&red]).await);
    let asked = world.provision(&ada, provision_body("ci")).await;
    let (admin, member) = (world.sign_in(&root).await, world.sign_in(&ada).await);
    member.get("/runners").await.assert_status(200);
    let path = format!("/people/{}", ada.id);
    let preview = admin.get(&format!("{path}/deactivate")).await.assert_status(200);
    assert!(preview.text.contains("1 open request is cancelled."), "{}", preview.text);
    let again = admin.post(&format!("{path}/deactivate"), &[("comment", " ")]).await.assert_status(422);
    assert!(again.text.contains("Deactivate ada@example.com?"), "{}", again.text);
    member.get("/runners").await.assert_status(200);
    admin.post(&format!("{path}/deactivate"), &[("comment", "left the company")]).await.assert_status(303);
    assert_eq!(audit_rows(&world, "user.deactivate").await, 1);
    assert_eq!(world.job(&root, asked.job).await["state"], "cancelled");
    member.get("/runners").await.assert_status(303);

    admin.get(&format!("{path}/activate")).await.assert_status(200);
    admin.post(&format!("{path}/activate"), &[("comment", "came back")]).await.assert_status(303);
    assert_eq!(audit_rows(&world, "user.activate").await, 1);
    world.sign_in(&ada).await.get("/runners").await.assert_status(200);
    admin.post(&format!("{path}/unbind"), &[("comment", "new subject")]).await.assert_status(303);
    assert!(admin.get(&path).await.text.contains("not bound yet"));
    admin.get(&format!("/people/{}", uuid::Uuid::nil())).await.assert_status(404);
}
