//! Explanations of decisions, held against the decisions themselves.

use domain::ClaimRule;
use harness::{ApiResponse, Bearer, Person, World, team_draft};
use serde_json::{Value, json};
use store::TeamDraft;

/// Labels and runner groups of requests, allowed and refused.
fn requests() -> Vec<Value> {
    let labels = [
        json!([]),
        json!(["linux"]),
        json!(["gpu-1", "team-red"]),
        json!(["gpu-1", "cpu-1", "cpu-2"]),
        json!(["ubuntu-latest"]),
        json!(["team-blue"]),
        json!(["sеlf-hosted"]),
        json!(["bad label"]),
    ];
    let groups = [Value::Null, json!(1), json!(2)];
    let pairs = labels.iter().flat_map(|labels| groups.iter().map(move |group| (labels, group)));
    pairs.map(|(labels, group)| json!({ "labels": labels, "runner_group_id": group })).collect()
}

fn with(body: &Value, more: &Value) -> Value {
    let mut all = body.clone();
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

/// Returns the code of a refusal, `None` for an acceptance; a body that is not valid is refused by both calls.
fn decision(answer: &ApiResponse) -> Option<String> {
    if answer.status == 200 {
        assert_eq!(answer.body["allowed"], answer.body["code"].is_null(), "{}", answer.text);
        return answer.body["code"].as_str().map(str::to_owned);
    }
    (answer.status != 202).then(|| answer.code().to_owned())
}

/// Explains each request to its caller and to an admin, sends it, and compares the three.
async fn assert_agreement(world: &World, root: &Person, who: &impl Bearer, whom: &Value, team: &Value) {
    for request in requests() {
        let named = with(&request, &json!({ "team": team }));
        let own = world.post("/policies/explain", who, &named).await;
        let any = world.post("/admin/policies/explain", root, &with(&named, whom)).await;
        let body = with(&request, &json!({ "runner_name_prefix": "ci", "team_id": team }));
        let real = world.post("/runners/jit", who, &body).await;
        let (own, any, real) = (decision(&own), decision(&any), decision(&real));
        assert_eq!(own, real, "{request}");
        assert_eq!(any, real, "{request}");
    }
}

#[tokio::test]
async fn explanations_agree_with_the_requests_they_explain() {
    // Callers who are refused often would be held back.
    let world = World::builder().workers(0).rate(100_000, 100_000).start().await;
    let root = world.admin().await;
    let red = world.team(team_draft("red")).await;
    world.team(team_draft("blue")).await;
    let listed = TeamDraft { allowed_runner_group_ids: vec![2], ..team_draft("listed") };
    let listed = world.team(listed).await;
    let small = world.team(TeamDraft { max_runners: Some(2), ..team_draft("small") }).await;
    let (ada, eve) = (world.user("ada", &[&red, &listed, &small]).await, world.user("eve", &[]).await);
    let ci = world.machine("ci", &red).await;

    let (as_ada, as_eve) = (json!({ "user": ada.email }), json!({ "user": eve.id }));
    for team in [&red, &listed, &small] {
        assert_agreement(&world, &root, &ada, &as_ada, &json!(team.id)).await;
    }
    assert_agreement(&world, &root, &ada, &as_ada, &Value::Null).await;
    assert_agreement(&world, &root, &eve, &as_eve, &json!(red.id)).await;
    assert_agreement(&world, &root, &eve, &as_eve, &Value::Null).await;
    assert_agreement(&world, &root, &ci, &json!({ "client": "ci" }), &Value::Null).await;
    assert_agreement(&world, &root, &root, &json!({ "user": root.id }), &json!(red.id)).await;

    let user = format!("/admin/users/{}", ada.id);
    world.patch(&user, &root, &json!({ "can_use_jit": false })).await.assert_status(200);
    assert_agreement(&world, &root, &ada, &as_ada, &json!(red.id)).await;
    world.patch(&user, &root, &json!({ "can_use_jit": true })).await.assert_status(200);
    let path = format!("/admin/teams/{}/deactivate", red.id);
    world.post(&path, &root, &json!({ "reason": "moved" })).await.assert_status(200);
    assert_agreement(&world, &root, &ada, &as_ada, &json!(red.id)).await;
}

#[tokio::test]
async fn team_that_no_name_or_id_can_be_is_refused() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    for named in ["", " red", &"a".repeat(51), "a\u{7}"] {
        let answer = world.post("/policies/explain", &ada, &json!({ "team": named })).await;
        assert_eq!(answer.refused(422, "validation_failed").pointers(), ["/team"], "{named:?}");
    }
    for named in ["red", &red.id.to_string()] {
        world.post("/policies/explain", &ada, &json!({ "team": named })).await.assert_status(200);
    }
}

#[tokio::test]
async fn every_check_names_its_rule_and_whom_to_ask() {
    let world = World::builder().workers(0).start().await;
    let (root, red) = (world.admin().await, world.team(team_draft("red")).await);
    let ada = world.user("ada", &[&red]).await;
    let body = json!({ "labels": ["gpu-1", "cpu-1", "Linux"], "repository": "octo/web", "workflow": "CI" });
    let before = world.count("SELECT count(*) FROM audit_log").await;
    let answer = world.post("/policies/explain", &ada, &body).await.assert_status(200).body;
    assert_eq!((&answer["allowed"], &answer["code"]), (&json!(false), &json!("label_policy_violation")));
    let labels: Vec<&Value> =
        answer["checks"].as_array().unwrap().iter().filter(|check| check["check"] == "label").collect();
    assert_eq!(
        (&labels[0]["allowed"], &labels[0]["value"], &labels[0]["rule"]),
        (&json!(true), &json!("gpu-1"), &json!("glob:gpu-*"))
    );
    assert_eq!(
        (&labels[1]["allowed"], &labels[1]["value"], &labels[1]["detail"]),
        (&json!(false), &json!("cpu-1"), &json!("matches none of the team's patterns"))
    );
    assert_eq!(labels[2]["allowed"], true);
    assert_eq!(answer["team"]["optional_label_patterns"], json!(["glob:gpu-*"]));
    assert_eq!((&answer["labels"], &answer["admins"]), (&Value::Null, &json!([root.email])));
    assert_eq!(answer["repository"], json!({ "allowed": true, "rule": null }));

    let path = format!("/admin/teams/{}", red.id);
    let lists = json!({ "allowed_repositories": ["octo/*"], "allowed_workflows": ["release"] });
    world.patch(&path, &root, &lists).await.assert_status(200);
    let body = json!({ "team": "RED", "labels": ["gpu-1"], "repository": "octo/web", "workflow": "CI" });
    let answer = world.post("/policies/explain", &ada, &body).await.assert_status(200).body;
    assert_eq!((&answer["allowed"], &answer["labels"]), (&json!(true), &json!(["team-red", "gpu-1"])));
    assert_eq!(answer["repository"], json!({ "allowed": true, "rule": "octo/*" }));
    assert_eq!(answer["workflow"], json!({ "allowed": false, "rule": null }));

    let answer = world.post("/admin/policies/explain", &root, &json!({ "team": "red" })).await;
    assert_eq!(answer.assert_status(200).body["allowed"], true, "a policy alone");
    let after = world.count("SELECT count(*) FROM audit_log WHERE event_type LIKE 'runner.%'").await;
    assert_eq!((before, after), (0, 0), "an explanation is no request");
    assert_eq!(world.count("SELECT count(*) FROM jobs").await, 0);
}

#[tokio::test]
async fn explanations_of_others_are_for_admins_and_viewers() {
    let world = World::builder().workers(0).start().await;
    let (root, red) = (world.admin().await, world.team(team_draft("red")).await);
    let blue = world.team(team_draft("blue")).await;
    let (ada, vera) = (world.user("ada", &[&red]).await, world.user("vera", &[]).await);
    let ci = world.machine("ci", &red).await;
    let path = format!("/admin/users/{}", vera.id);
    world.patch(&path, &root, &json!({ "is_viewer": true })).await.assert_status(200);

    let body = json!({ "user": ada.email, "labels": ["gpu-1"] });
    let answer = world.post("/admin/policies/explain", &vera, &body).await.assert_status(200).body;
    assert_eq!(answer["allowed"], true);
    let own = world.post("/policies/explain", &vera, &json!({ "team": "red" })).await.assert_status(200).body;
    assert_eq!(own["code"], "read_only", "a viewer gets no runner");
    for caller in [ada.token.as_str(), ci.token.as_str()] {
        world.post("/admin/policies/explain", caller, &body).await.refused(403, "admin_required");
    }
    assert_eq!(world.count("SELECT count(*) FROM audit_log WHERE event_type = 'admin.denied'").await, 2);
    let answer = world.post("/policies/explain", &ci, &json!({})).await.assert_status(200).body;
    assert_eq!(
        (&answer["allowed"], &answer["admins"]),
        (&json!(true), &json!([])),
        "a pipeline learns no names"
    );

    // Existing and missing teams look alike to others.
    let foreign = world.post("/policies/explain", &ada, &json!({ "team": "blue" })).await.assert_status(200);
    let missing = world.post("/policies/explain", &ada, &json!({ "team": "green" })).await.assert_status(200);
    let by_id = world.post("/policies/explain", &ada, &json!({ "team": blue.id })).await.assert_status(200);
    assert_eq!((&foreign.body, &foreign.body), (&missing.body, &by_id.body));
    assert_eq!(foreign.body["code"], "team_forbidden");
}

#[tokio::test]
async fn invalid_questions_point_at_their_fault() {
    let world = World::builder().workers(0).start().await;
    let (root, red) = (world.admin().await, world.team(team_draft("red")).await);
    let rule = |subject: &str| {
        Some(ClaimRule { subject: subject.into(), claims: std::collections::BTreeMap::default() })
    };
    world.client("pipeline", &red, rule("repo:octo/web:ref:refs/heads/main")).await;
    for (body, pointer) in [
        (json!({}), "/team"),
        (json!({ "team": "green" }), "/team"),
        (json!({ "user": "nobody@example.com" }), "/user"),
        (json!({ "user": uuid::Uuid::nil() }), "/user"),
        (json!({ "client": "none" }), "/client"),
        (json!({ "client": "pipeline", "user": root.email }), "/client"),
        (json!({ "team": "red", "labels": ["a b"] }), "/labels/0"),
        (json!({ "team": "red", "runner_group_id": 0 }), "/runner_group_id"),
        (json!({ "team": "red", "repository": "web" }), "/repository"),
        (json!({ "team": "red", "workflow": "" }), "/workflow"),
        (json!({ "team": "red", "lables": [] }), "/lables"),
    ] {
        let refused = world.post("/admin/policies/explain", &root, &body).await;
        assert_eq!(refused.refused(422, "validation_failed").pointers(), [pointer], "{body}");
    }
    let body = json!({ "client": "pipeline" });
    world.post("/admin/policies/explain", &root, &body).await.assert_status(200);
}
