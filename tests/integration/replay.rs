//! Replay of past requests against the draft of a policy.

use harness::{World, team_draft};
use serde_json::{Value, json};

/// A world in which a team has sent requests that were accepted and refused.
async fn world_with_requests() -> (World, harness::Person) {
    let world = World::builder().workers(0).start().await;
    let root = world.admin().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let ask = |labels: Value, group: Value| {
        let body = json!({ "runner_name_prefix": "ci", "labels": labels, "runner_group_id": group });
        let (world, ada) = (&world, &ada);
        async move { world.post("/runners/jit", ada, &body).await }
    };
    for (labels, group, status) in [
        (json!(["gpu-1"]), json!(null), 202),
        (json!(["gpu-2", "linux"]), json!(null), 202),
        (json!(["GPU-2"]), json!(1), 202),
        (json!(["cpu-1", "gpu-1"]), json!(null), 403),
        (json!(["ubuntu-latest"]), json!(null), 403),
        (json!(["gpu-1"]), json!(2), 403),
    ] {
        ask(labels, group).await.assert_status(status);
    }
    (world, root)
}

fn draft(more: &Value) -> Value {
    let mut team = json!({ "name": "red", "required_labels": ["team-red"], "optional_label_patterns": ["glob:gpu-*"],
        "add_self_hosted": false });
    team.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "team": team, "days": 30 })
}

#[tokio::test]
async fn draft_is_held_against_past_requests() {
    let (world, root) = world_with_requests().await;
    let rows = world.count("SELECT count(*) FROM audit_log").await;
    let replay = async |more: Value| {
        world.post("/admin/policies/replay", &root, &draft(&more)).await.assert_status(200).body
    };
    let same = replay(json!({})).await;
    assert_eq!((&same["examined"], &same["complete"]), (&json!(6), &json!(true)));
    assert_eq!((&same["newly_refused"]["count"], &same["newly_allowed"]["count"]), (&json!(0), &json!(0)));

    let narrower = replay(json!({ "optional_label_patterns": ["gpu-1"] })).await;
    assert_eq!(narrower["newly_refused"]["count"], 2);
    let example = &narrower["newly_refused"]["examples"][0];
    assert_eq!(
        (&example["user_identity"], &example["code"], &example["labels"]),
        (&json!("ada@example.com"), &json!("label_policy_violation"), &json!(["team-red", "GPU-2"]))
    );
    let wider = replay(json!({ "optional_label_patterns": ["*"], "allowed_runner_group_ids": [1, 2] })).await;
    assert_eq!((&wider["newly_refused"]["count"], &wider["newly_allowed"]["count"]), (&json!(0), &json!(2)));
    let codes: Vec<&Value> =
        wider["newly_allowed"]["examples"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
    assert_eq!(codes, ["runner_group_not_allowed", "label_policy_violation"]);
    let moved = replay(json!({ "allowed_runner_group_ids": [2] })).await;
    assert_eq!(moved["newly_refused"]["count"], 3);
    assert_eq!(world.count("SELECT count(*) FROM audit_log").await, rows, "a replay is no request");
}

#[tokio::test]
async fn many_requests_are_read_page_by_page() {
    let (world, root) = world_with_requests().await;
    let more = "INSERT INTO audit_log (id, event_type, team_id, event_data, success)
        SELECT gen_random_uuid(), event_type, team_id, event_data, success FROM audit_log, generate_series(1, 3500)
        WHERE event_data -> 'labels' @> '[\"gpu-1\"]' AND success";
    sqlx::query(more).execute(world.sql()).await.unwrap();
    // Ids begin with their time.
    let newer = "UPDATE audit_log SET id = (lpad(to_hex((extract(epoch FROM now()) * 1000)::int8), 12, '0')
            || substr(replace(id::text, '-', ''), 13))::uuid WHERE event_type = 'runner.provision'";
    sqlx::query(newer).execute(world.sql()).await.unwrap();
    let body = draft(&json!({ "optional_label_patterns": ["cpu-1"] }));
    let replay = world.post("/admin/policies/replay", &root, &body).await.assert_status(200).body;
    assert_eq!((&replay["examined"], &replay["complete"]), (&json!(3_506), &json!(true)));
    assert_eq!(replay["newly_refused"]["count"], 3_503);
    assert_eq!(replay["newly_refused"]["examples"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn invalid_drafts_point_at_their_fault() {
    let (world, root) = world_with_requests().await;
    for (body, pointer) in [
        (json!({ "team": { "name": "none" } }), "/team/name"),
        (json!({ "team": { "name": "red" }, "days": 0 }), "/days"),
        (json!({ "team": { "name": "red" }, "days": 91 }), "/days"),
        (json!({ "team": { "name": "red", "installation": "none" } }), "/team/installation"),
        (draft(&json!({ "optional_label_patterns": ["gpu-("] })), "/team/optional_label_patterns/0"),
        (json!({ "team": { "name": "red", "pattern": [] } }), "/team/pattern"),
    ] {
        let refused =
            world.post("/admin/policies/replay", &root, &body).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), [pointer], "{body}");
    }
    let eve = world.user("eve", &[]).await;
    world.post("/admin/policies/replay", &eve, &draft(&json!({}))).await.refused(403, "admin_required");
}
