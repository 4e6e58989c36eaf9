//! End of event streams and waiting requests when the reader's access ends.

use harness::{Person, World, provision_body};
use serde_json::{Value, json};
use store::UserDraft;

use super::Scene;

/// A request of an admin that ends a user's access.
struct Revocation<'a> {
    method: &'a str,
    path: &'a str,
    body: Value,
}

/// Opens a stream of Ada's waiting job as `who`, ends their access, and checks that the stream ends although the job still
/// waits.
async fn stream_ends(scene: &Scene, who: &Person, Revocation { method, path, body }: Revocation<'_>) {
    let (world, root) = (&scene.world, &scene.root);
    let asked = world.provision(&scene.ada, provision_body("ci")).await;
    let mut stream = world.ask("GET", &format!("/jobs/{}/events", asked.job)).by(who).open().await;
    stream.chunk().await.unwrap().unwrap();
    world.ask(method, path).by(root).json(&body).send().await.assert_status(200);
    while let Some(bytes) = stream.chunk().await.unwrap() {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.starts_with("event: status"), "{method} {path}: {text}");
    }
    assert_eq!(world.job(root, asked.job).await["state"], "queued", "{method} {path}");
}

#[tokio::test]
async fn stream_ends_with_the_rights_of_its_reader() {
    let scene = Scene::with(World::builder().workers(0).start().await).await;
    let world = &scene.world;
    let bob = world.user("bob", &[&scene.red]).await;
    let second = world.person(UserDraft { is_admin: true, ..world.user_draft("second") }, &[]).await;
    let path = format!("/admin/users/{}", bob.id);
    let unbind = format!("{path}/unbind");
    stream_ends(&scene, &bob, Revocation { method: "POST", path: &unbind, body: json!({}) }).await;
    world.patch(&path, &scene.root, &json!({ "oidc_sub": "bob" })).await.assert_status(200);
    stream_ends(
        &scene,
        &bob,
        Revocation { method: "PATCH", path: &path, body: json!({ "oidc_sub": "bob-2" }) },
    )
    .await;
    world.patch(&path, &scene.root, &json!({ "oidc_sub": "bob" })).await.assert_status(200);
    stream_ends(
        &scene,
        &bob,
        Revocation { method: "PATCH", path: &path, body: json!({ "is_active": false }) },
    )
    .await;
    let path = format!("/admin/users/{}", second.id);
    stream_ends(
        &scene,
        &second,
        Revocation { method: "PATCH", path: &path, body: json!({ "is_admin": false }) },
    )
    .await;
}

#[tokio::test]
async fn stream_of_a_machine_client_ends_with_its_team() {
    let scene = Scene::new().await;
    let (world, root) = (&scene.world, &scene.root);
    scene.pause_provisioning().await;
    let ci = world.machine("ci", &scene.red).await;
    let asked = world.provision(&ci, provision_body("ci")).await;
    let mut stream = world.ask("GET", &format!("/jobs/{}/events", asked.job)).by(&ci).open().await;
    stream.chunk().await.unwrap().unwrap();
    let off = json!({ "reason": "breach" });
    world.post(&format!("{}/deactivate", scene.team_path()), root, &off).await.assert_status(200);
    while stream.chunk().await.unwrap().is_some() {}
    world.get(&format!("/jobs/{}?wait=1", asked.job), &ci).await.refused(403, "team_inactive");
}
