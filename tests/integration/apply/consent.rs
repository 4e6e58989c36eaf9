//! Plans that do what must be asked for.

use serde_json::{Value, json};

use super::{changes, scene};

fn people(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({ "email": format!("person-{n}@example.com") })).collect()
}

#[tokio::test]
async fn a_plan_that_ends_a_fifth_of_the_people_needs_a_consent() {
    let scene = scene().await;
    // With root, there are ten active people.
    scene.applied(&json!({ "people": people(9) }), &json!({})).await;
    let two_fewer = json!({ "people": people(7) });
    let plan = scene.applied(&two_fewer, &json!({ "prune": true })).await;
    assert_eq!((changes(&plan).len(), &plan["needs"]), (2, &json!([])), "20 % are no more than a fifth");

    let fewer = json!({ "people": people(5) });
    let before = scene.rows().await;
    let plan = scene.applied(&fewer, &json!({ "prune": true, "dry_run": true })).await;
    assert_eq!((changes(&plan).len(), &plan["needs"]), (2, &json!(["many"])));
    let refused = scene.apply(&fewer, &json!({ "prune": true })).await.refused(409, "plan_needs_consent");
    assert_eq!(refused.pointers(), ["/allow/many"]);
    let refused = scene.apply(&fewer, &json!({ "prune": true, "allow": { "remove_admin": true } })).await;
    refused.refused(409, "plan_needs_consent");
    assert_eq!(scene.rows().await, before);
    scene.applied(&fewer, &json!({ "prune": true, "allow": { "many": true } })).await;
    assert_eq!(scene.world.count("SELECT count(*) FROM users WHERE is_active").await, 6);
}

#[tokio::test]
async fn an_admin_is_removed_with_consent_and_the_last_one_never() {
    let scene = scene().await;
    let mut all = people(20);
    all.push(json!({ "email": "grace@example.com", "oidc_sub": "grace", "role": "admin" }));
    scene.applied(&json!({ "people": all }), &json!({})).await;
    all[20]["role"] = json!("member");
    let demotion = json!({ "people": all });
    let refused = scene.apply(&demotion, &json!({})).await.refused(409, "plan_needs_consent");
    assert_eq!(refused.pointers(), ["/allow/remove_admin"]);
    scene.applied(&demotion, &json!({ "allow": { "remove_admin": true } })).await;

    all[20]["role"] = json!("viewer");
    all.push(json!({ "email": "root@example.com", "role": "member" }));
    all[0]["role"] = json!("admin");
    let last = json!({ "people": all });
    let before = scene.rows().await;
    let consents = json!({ "allow": { "remove_admin": true, "many": true } });
    scene.apply(&last, &consents).await.refused(409, "last_admin");
    scene.apply(&last, &json!({ "dry_run": true })).await.refused(409, "last_admin");
    assert_eq!(scene.rows().await, before, "an invited admin is no admin yet");
}
