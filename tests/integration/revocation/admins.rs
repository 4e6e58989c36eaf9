//! Protection of the last admin.

use futures::future::join;
use harness::{Person, World};
use serde_json::json;
use store::UserDraft;

use super::Scene;

const ACTIVE_ADMINS: &str = "SELECT count(*) FROM users WHERE is_admin AND is_active AND subject IS NOT NULL";

async fn second_admin(world: &World) -> Person {
    world.person(UserDraft { is_admin: true, ..world.user_draft("second") }, &[]).await
}

#[tokio::test]
async fn last_admin_cannot_be_demoted_deactivated_or_unbound() {
    let scene = Scene::new().await;
    let (world, root) = (&scene.world, &scene.root);
    // An invitation that is not accepted yet does not count as an admin.
    let invited = json!({ "email": "invited@example.com", "is_admin": true });
    let invited = world.post("/admin/users", root, &invited).await.assert_status(201).body;
    let path = format!("/admin/users/{}", root.id);
    for body in [json!({ "is_admin": false }), json!({ "is_active": false }), json!({ "oidc_sub": null })] {
        world.patch(&path, root, &body).await.refused(409, "last_admin");
    }
    world.delete(&path, root).await.refused(409, "last_admin");
    world.ask("POST", &format!("{path}/unbind")).by(root).send().await.refused(409, "last_admin");
    world.command(&["deactivate-user", &root.email], &[]).await.expect(4);
    world.get("/admin/users", root).await.assert_status(200);
    let invitation = format!("/admin/users/{}", invited["id"].as_str().unwrap());
    world.delete(&invitation, root).await.assert_status(204);

    let second = second_admin(world).await;
    world.patch(&path, root, &json!({ "is_admin": false })).await.assert_status(200);
    let last = format!("/admin/users/{}", second.id);
    world.delete(&last, &second).await.refused(409, "last_admin");
}

#[tokio::test]
async fn two_admins_removing_each_other_at_once_leave_one() {
    let scene = Scene::new().await;
    let (world, root) = (&scene.world, &scene.root);
    let second = second_admin(world).await;
    let path = |who: &Person| format!("/admin/users/{}", who.id);
    let bodies = [json!({ "is_admin": false }), json!({ "is_active": false }), json!({ "oidc_sub": null })];
    for round in 0..12 {
        let body = &bodies[round % bodies.len()];
        let (one_path, two_path) = (path(&second), path(root));
        let (one, two) =
            join(world.patch(&one_path, root, body), world.patch(&two_path, &second, body)).await;
        assert_eq!(world.count(ACTIVE_ADMINS).await, 1, "{} and {}", one.text, two.text);
        assert!(one.status == 200 || two.status == 200, "{} and {}", one.text, two.text);
        let back = "UPDATE users SET is_admin = true, is_active = true, subject = split_part(email, '@', 1) WHERE id = $1";
        world.change(back, second.id.uuid()).await;
        world.change(back, root.id.uuid()).await;
    }
}
