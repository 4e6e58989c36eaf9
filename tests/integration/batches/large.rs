//! The limit above which a batch needs the number of its items.

use serde_json::json;

use super::Scene;

#[tokio::test]
async fn people_who_are_spared_or_inactive_make_no_batch_large() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let mut people = vec![scene.root.id.uuid()];
    for nth in 0..30 {
        people.push(world.user(&format!("p{nth}"), &[]).await.id.uuid());
    }
    let first = |from: usize, count: usize| people[from..from + count].to_vec();
    for (sql, ids) in [
        ("UPDATE users SET is_admin = true WHERE id = ANY($1)", first(1, 10)),
        ("UPDATE users SET is_active = false WHERE id = ANY($1)", first(11, 5)),
    ] {
        sqlx::query(sql).bind(ids).execute(world.sql()).await.unwrap();
    }
    // 26 people are active, so 5 is the most that needs no number. Of these 21, 5 would change.
    let comment = "the contractors have left";
    let body = json!({ "comment": comment, "user_ids": first(0, 21) });
    let mut with_admins = body.clone();
    with_admins["exclude_admins"] = json!(false);
    let refused = scene.send("disable-users", &with_admins).await.refused(422, "validation_failed");
    assert!(refused.text.contains("15 of 26") && refused.text.contains("send 21"), "{}", refused.text);
    let mut one_more = body.clone();
    one_more["user_ids"] = json!(first(0, 22));
    let refused = scene.send("disable-users", &one_more).await.refused(422, "validation_failed");
    assert!(refused.text.contains("6 of 26") && refused.text.contains("send 22"), "{}", refused.text);
    let batch = scene.done("disable-users", &body).await;
    assert_eq!((&batch["affected_count"], &batch["skipped_count"]), (&json!(5), &json!(16)));
}
