//! Counts and effective settings.

use harness::provision_body;
use serde_json::json;

use super::scene;

#[tokio::test]
async fn counts_leave_out_deleted_runners_and_stop_at_ten_thousand() {
    let scene = scene().await;
    let world = &scene.world;
    let vera = world.viewer("vera").await;
    let asked = world.provision(&scene.ada, provision_body("ci")).await;
    world.provision(&scene.ada, provision_body("ci")).await;
    world.ask("DELETE", &format!("/jobs/{}", asked.job)).by(&scene.ada).send().await.assert_status(200);
    let stats = world.get("/admin/stats", &vera).await.assert_status(200).body;
    let runners = json!({ "total": 1, "requested": 1, "pending": 0, "active": 0, "offline": 0 });
    assert_eq!(stats["runners"], runners);
    assert_eq!(stats["users"], json!({ "total": 3, "active": 3, "admins": 1, "viewers": 1 }));
    assert_eq!(stats["total_is_lower_bound"], false);

    let rows = "INSERT INTO security_events (id, event_type, severity, action_taken)
        SELECT gen_random_uuid(), 'a.a', 'critical', 'none' FROM generate_series(1, 10001)";
    sqlx::raw_sql(rows).execute(world.sql()).await.unwrap();
    let stats = scene.get("/admin/stats").await;
    assert_eq!(stats["security"]["critical_events"], 10_000);
    assert_eq!(
        (&stats["security"]["high_events"], &stats["total_is_lower_bound"]),
        (&json!(0), &json!(true))
    );
}

#[tokio::test]
async fn settings_show_values_and_no_secret() {
    let scene = scene().await;
    let vera = scene.world.viewer("vera").await;
    let answer = scene.world.get("/admin/settings", &vera).await.assert_status(200);
    assert!(!answer.text.contains("canary"), "{}", answer.text);
    let settings = answer.body["settings"].as_array().unwrap();
    let one = |name: &str| settings.iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(
        (&one("SERVICE_PORT")["value"], &one("SERVICE_PORT")["origin"]),
        (&json!("8081"), &json!("environment"))
    );
    assert_eq!(one("SYNC_INTERVAL_SECONDS")["origin"], "default");
    for secret in ["DATABASE_URL", "REDIS_URL", "CREDENTIAL_KEYS"] {
        assert_eq!(
            (&one(secret)["value"], &one(secret)["is_secret"]),
            (&json!("***"), &json!(true)),
            "{secret}"
        );
    }
    assert_eq!(answer.body["issuers"][0]["issuer"], scene.world.issuer().url());
    assert_eq!(answer.body["installations"][0]["installation"], "default");
}
