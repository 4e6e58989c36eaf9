//! `rts audit verify`, also called `rts verify-audit-log`.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::Scene;

#[tokio::test]
async fn verification_names_what_differs_and_exits_with_seven() {
    let scene = Scene::new().await;
    scene.write("first", 5).await;
    scene.chain_all().await;
    let secret = format!("tokens:{}", STANDARD.encode(harness::TOKEN_KEY));
    let keys = [("TOKEN_KEYS", secret.as_str())];
    let said = scene.world.command(&["verify-audit-log"], &keys).await.expect(0);
    assert!(said.stdout.contains("audit_log: 5 rows in "), "{}", said.stdout);
    assert!(said.stdout.contains("security_events: 0 rows in 0 blocks"), "{}", said.stdout);
    let printed = |text: &str, option: &str| -> String {
        let line = text.lines().find(|line| line.trim_start().starts_with(option)).unwrap();
        line.trim_start().trim_start_matches(option).trim().to_owned()
    };
    let head = printed(&said.stdout, "--head");
    let key = printed(&said.stderr, "--public-key");
    let options = ["verify-audit-log", "--head", &head, "--public-key", &key];
    // The public key replaces the secret one.
    scene.world.command(&options, &[]).await.expect(0);
    let unchecked = scene.world.command(&["verify-audit-log"], &[]).await.expect(0);
    assert!(unchecked.stderr.contains("Signatures were not checked"), "{}", unchecked.stderr);

    scene.sql("DELETE FROM audit_log WHERE id = (SELECT min(id::text)::uuid FROM audit_log)").await;
    let said = scene.world.command(&["verify-audit-log", "--output", "json"], &keys).await.expect(7);
    let report: Value = said.json();
    let finding = &report["chains"][0]["findings"][0];
    assert_eq!(finding["code"], "row_removed");
    assert!(finding["row"].as_str().unwrap().len() == 36, "{finding}");
    let said = scene.world.command(&["verify-audit-log", "--chain", "audit_log"], &keys).await.expect(7);
    assert!(said.stdout.contains("was removed (block"), "{}", said.stdout);
    // As a verb of its noun, with the noun's options.
    let said = scene.world.command(&["audit", "verify", "-o", "json"], &keys).await.expect(7);
    assert_eq!(said.json(), report);
    scene.world.command(&["audit", "verify", "--chain", "security_events"], &keys).await.expect(0);
    for bad in [["--head", "x"], ["--public-key", "x"], ["--chain", "x"]] {
        scene.world.command(&["verify-audit-log", bad[0], bad[1]], &[]).await.expect(2);
    }
}
