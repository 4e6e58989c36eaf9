//! Revocation of access from the command line.

use serde_json::json;

use super::Scene;

#[tokio::test]
async fn operator_revokes_and_restores_access() {
    let scene = Scene::new().await;
    let (world, ada) = (&scene.world, &scene.ada);
    let ci = world.machine("ci", &scene.red).await;
    let run = |words: &'static [&'static str]| async move { world.command(words, &[]).await };

    let said = run(&["deactivate-user", "ADA@example.com", "--comment", "left"]).await.expect(0);
    assert_eq!(said.stdout, "ada@example.com is deactivated\n");
    world.get("/auth/me", ada).await.refused(403, "inactive");
    let data = scene.audit_details("user.deactivate").await;
    assert_eq!((&data["by"], &data["comment"]), (&json!("rts deactivate-user"), &json!("left")));
    let (user, host) = (data["os_user"].as_str().unwrap(), data["host"].as_str().unwrap());
    assert!(!user.is_empty() && !host.is_empty(), "{data}");
    let who = "SELECT count(*) FROM audit_log WHERE event_type = 'user.deactivate'
        AND user_identity = (event_data ->> 'os_user') || '@' || (event_data ->> 'host')";
    assert_eq!(world.count(who).await, 1);
    run(&["activate-user", "ada@example.com"]).await.expect(0);
    world.get("/auth/me", ada).await.assert_status(200);
    run(&["unbind-user", "ada@example.com"]).await.expect(0);
    assert_eq!(
        world.count("SELECT count(*) FROM users WHERE email LIKE 'ada@%' AND subject IS NULL").await,
        1
    );

    run(&["deactivate-client", "ci"]).await.expect(0);
    world.get("/auth/me", &ci).await.refused(403, "inactive");
    run(&["activate-client", "ci"]).await.expect(0);
    world.get("/auth/me", &ci).await.assert_status(200);

    run(&["deactivate-team", "red", "--reason", "moved"]).await.expect(0);
    assert_eq!(scene.audit_details("team.deactivate").await["after"]["deactivation_reason"], "moved");
    run(&["reactivate-team", "RED"]).await.expect(0);
    assert_eq!(world.count("SELECT count(*) FROM teams WHERE is_active").await, 1);
}

#[tokio::test]
async fn all_uncollected_configs_are_shredded_on_demand() {
    let scene = Scene::new().await;
    let (world, ada) = (&scene.world, &scene.ada);
    let mut jobs = Vec::new();
    for _ in 0..3 {
        let asked = world.provision(ada, harness::provision_body("ci")).await;
        world.until_final(ada, asked.job).await;
        jobs.push(asked.job);
    }
    world.command(&["shred-credentials"], &[]).await.expect(2);
    let said = world.command(&["shred-credentials", "--all", "--comment", "key leaked"], &[]).await.expect(0);
    assert_eq!(said.stdout, "3 configs are shredded\n");
    for job in jobs {
        world.credential(ada, job).await.refused(410, "credential_gone");
    }
    scene.wait_for_no_runner().await;
    let data = scene.audit_details("credential.shred").await;
    assert_eq!((&data["comment"], &data["revoked"]["shredded_configs"]), (&json!("key leaked"), &json!(3)));
}

#[tokio::test]
async fn unknown_names_are_refused_by_name() {
    let scene = Scene::new().await;
    for words in [
        ["deactivate-user", "eve@example.com"],
        ["activate-client", "nobody"],
        ["reactivate-team", "0192f0c4-0000-7000-8000-000000000000"],
    ] {
        let said = scene.world.command(&words, &[]).await.expect(4);
        let remarks = said.stderr.to_lowercase();
        assert!(remarks.contains("there is no") || remarks.contains("no such"), "{remarks}");
    }
    scene.world.command(&["deactivate-team", "red"], &[]).await.expect(2);
}

#[tokio::test]
async fn new_admin_is_recorded_with_the_operator() {
    let scene = Scene::new().await;
    scene.world.command(&["create-admin", "--email", "new@example.com"], &[]).await.expect(0);
    let data = scene.audit_details("admin.create").await;
    let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    assert!(!text("os_user").is_empty() && !text("host").is_empty(), "{data}");
}
