//! Access checks at the hand-out and in the worker. These tests change the rows directly, so that only those checks can
//! refuse.

use domain::ProblemCode;
use harness::{World, provision_body};
use serde_json::json;

use super::Scene;

/// Changes that end Ada's access, with the expected problem.
const ENDS: [(&str, ProblemCode); 3] = [
    ("DELETE FROM team_members WHERE user_id = $1", ProblemCode::TeamForbidden),
    ("UPDATE users SET can_use_jit = false WHERE id = $1", ProblemCode::JitNotAllowed),
    (
        "UPDATE teams SET is_active = false, deactivation_reason = 'breach'
         WHERE id IN (SELECT team_id FROM team_members WHERE user_id = $1)",
        ProblemCode::TeamInactive,
    ),
];

#[tokio::test]
async fn access_that_ended_is_refused_at_the_handout_and_at_a_replay() {
    for (sql, code) in ENDS {
        let scene = Scene::new().await;
        let (world, ada) = (&scene.world, &scene.ada);
        let ask = |prefer| {
            let ask = world.ask("POST", "/runners/jit").by(ada).header("idempotency-key", "one");
            ask.header("prefer", prefer).json(&provision_body("ci")).send()
        };
        let job = ask("respond-async").await.assert_status(202).body["job_id"].as_str().unwrap().to_owned();
        let job = job.parse().unwrap();
        assert_eq!(world.until_final(ada, job).await["state"], "succeeded");
        world.change(sql, ada.id.uuid()).await;
        world.credential(ada, job).await.refused(403, code.as_str());
        ask("wait=20").await.refused(403, code.as_str());
        let read = "SELECT count(*) FROM credentials WHERE first_read_at IS NOT NULL";
        assert_eq!(world.count(read).await, 0, "{sql}");
        let rows =
            "SELECT sum(occurrences) FROM audit_log WHERE event_type = 'credential.fetch' AND NOT success";
        assert_eq!(world.count(rows).await, 2, "{sql}");
    }
}

#[tokio::test]
async fn access_that_ended_is_refused_before_github_is_asked() {
    for (sql, code) in ENDS {
        let scene = Scene::with(World::builder().workers(0).start().await).await;
        let (world, ada) = (&scene.world, &scene.ada);
        let asked = world.provision(ada, provision_body("ci")).await;
        world.change(sql, ada.id.uuid()).await;
        world.keep_running(world.start_worker());
        let job = world.until_final(ada, asked.job).await;
        assert_eq!((&job["state"], &job["error"]["code"]), (&json!("failed"), &json!(code)), "{job}");
        let made =
            world.twin.ledger().entries.iter().filter(|entry| entry.path.contains("jitconfig")).count();
        assert_eq!(made, 0, "{sql}");
        let left = "SELECT count(*) FROM runners WHERE status <> 'deleted'";
        assert_eq!(world.count(left).await, 0, "{sql}");
    }
}

#[tokio::test]
async fn former_member_gets_no_config_of_the_team() {
    let scene = Scene::new().await;
    let (world, ada, root) = (&scene.world, &scene.ada, &scene.root);
    let unread = world.provision(ada, provision_body("unread")).await;
    world.until_final(ada, unread.job).await;
    scene.pause_provisioning().await;
    let waiting = world.provision(ada, provision_body("waiting")).await;
    let member = format!("{}/members/{}", scene.team_path(), ada.id);
    world.delete(&member, root).await.assert_status(204);
    world.credential(ada, unread.job).await.refused(403, "team_forbidden");
    let lane = "/admin/queues/provision/resume";
    world.ask("POST", lane).by(root).send().await.assert_status(200);
    let job = world.until_final(ada, waiting.job).await;
    assert_eq!((&job["state"], &job["error"]["code"]), (&json!("failed"), &json!("team_forbidden")), "{job}");
    scene.wait_for_no_runner().await;
    assert_eq!(scene.audit_details("member.remove").await["revoked"]["shredded_configs"], 1);
}

#[tokio::test]
async fn config_that_was_read_is_not_handed_out_again_after_a_revocation() {
    let scene = Scene::new().await;
    let (world, ada, root) = (&scene.world, &scene.ada, &scene.root);
    let asked = world.provision(ada, provision_body("ci")).await;
    world.until_final(ada, asked.job).await;
    world.credential(ada, asked.job).await.assert_status(200);
    world.patch(&scene.user_path(), root, &json!({ "is_active": false })).await.assert_status(200);
    world.patch(&scene.user_path(), root, &json!({ "is_active": true })).await.assert_status(200);
    world.credential(ada, asked.job).await.refused(410, "credential_gone");
    let kept = "SELECT count(*) FROM runners WHERE status = 'pending'";
    assert_eq!(world.count(kept).await, 1, "a machine may have started the runner");
}
