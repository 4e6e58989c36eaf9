//! Plans that do what must be asked for.

use serde_json::{Value, json};

use super::{changes, scene};

fn people(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({ "email": format!("person-{n}@example.com") })).collect()
}

#[tokio::test]
async fn plan_that_ends_a_fifth_of_the_people_needs_a_consent() {
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
    let row =
        "SELECT event_data || jsonb_build_object('who', user_identity, 'why', error_message) FROM audit_log
        WHERE event_type = 'files.apply' AND NOT success ORDER BY id LIMIT 1";
    let row: Value = sqlx::query_scalar(row).fetch_one(scene.world.sql()).await.unwrap();
    assert_eq!(
        (&row["code"], &row["who"], &row["prune"]),
        (&json!("plan_needs_consent"), &json!("root@example.com"), &json!(true)),
        "{row}"
    );
    scene.applied(&fewer, &json!({ "prune": true, "allow": { "many": true } })).await;
    assert_eq!(scene.world.count("SELECT count(*) FROM users WHERE is_active").await, 6);
}

#[tokio::test]
async fn admin_is_removed_with_consent_and_the_last_one_never() {
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
    let refused = "SELECT count(*) FROM audit_log WHERE event_data ->> 'code' = 'last_admin'";
    assert_eq!(scene.world.count(refused).await, 1, "a plan alone leaves no row");
    assert_eq!(scene.rows().await, before, "an invited admin is no admin yet");
}

#[tokio::test]
async fn two_admins_who_remove_each_other_leave_one() {
    let scene = scene().await;
    let all = |grace: &str, root: &str| {
        json!({ "people": [{ "email": "grace@example.com", "oidc_sub": "grace", "role": grace },
            { "email": "root@example.com", "role": root }] })
    };
    scene.applied(&all("admin", "admin"), &json!({})).await;
    let grace = "SELECT id::text FROM users WHERE email = 'grace@example.com'";
    let grace: String = sqlx::query_scalar(grace).fetch_one(scene.world.sql()).await.unwrap();
    let path = format!("/admin/users/{grace}");
    let consents = json!({ "allow": { "remove_admin": true, "many": true } });
    let (no_root, no_grace) = (all("admin", "member"), json!({ "is_admin": false }));
    let (by_file, by_call) =
        tokio::join!(scene.apply(&no_root, &consents), scene.world.patch(&path, &scene.root, &no_grace));
    let statuses = [by_file.status, by_call.status];
    assert!(statuses.contains(&200), "{statuses:?}");
    let left = "SELECT count(*) FROM users WHERE is_admin AND is_active AND subject IS NOT NULL";
    assert_eq!(scene.world.count(left).await, 1, "{statuses:?}");
}

#[tokio::test]
async fn sign_in_does_not_wait_for_an_application() {
    let scene = scene().await;
    let (world, red) = (&scene.world, scene.world.team(harness::team_draft("red")).await);
    let (ada, ci) = (world.user("ada", &[&red]).await, world.machine("ci", &red).await);
    let mut held = world.sql().begin().await.unwrap();
    for table in ["users", "oauth_clients"] {
        let lock = format!("SELECT id FROM {table} FOR NO KEY UPDATE");
        sqlx::query(sqlx::AssertSqlSafe(lock)).fetch_all(&mut *held).await.unwrap();
    }
    world.get("/auth/me", &ada).await.assert_status(200);
    world.get("/auth/me", &ci).await.assert_status(200);
    held.rollback().await.unwrap();
}
