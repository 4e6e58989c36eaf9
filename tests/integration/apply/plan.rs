//! Plans: what is created and changed, and that the plan is what happens.

use harness::provision_body;
use serde_json::{Value, json};

use super::{changes, scene};

/// Two teams with people and a pipeline.
fn document() -> Value {
    json!({
        "people": [
            { "email": "ada@example.com", "oidc_sub": "ada", "display_name": "Ada" },
            { "email": "grace@example.com", "role": "viewer" },
        ],
        "teams": [
            { "name": "web", "required_labels": ["web"], "optional_label_patterns": ["glob:gpu-*"],
              "max_runners": 10, "members": ["ada@example.com"], "clients": [{ "client_id": "web-ci" }] },
            { "name": "games", "members": ["Ada@example.com"] },
        ],
    })
}

#[tokio::test]
async fn files_set_up_teams_people_and_pipelines() {
    let scene = scene().await;
    let plan = scene.applied(&document(), &json!({ "comment": "first setup of the teams" })).await;
    assert_eq!(plan["applied"], true);
    assert_eq!(
        changes(&plan),
        [
            "create person ada@example.com",
            "create person grace@example.com",
            "create team web",
            "create member ada@example.com of web",
            "create team games",
            "create member Ada@example.com of games",
            "create client web-ci of web",
        ]
    );
    let world = &scene.world;
    let ada = world.token(&json!({ "sub": "ada", "email": "ada@example.com", "email_verified": true }));
    let body = json!({ "runner_name_prefix": "ci", "labels": ["gpu-1"] });
    world.post("/runners/jit", &ada, &body).await.refused(422, "team_required");
    let ci = world.issuer().machine_token("web-ci").unwrap();
    world.post("/runners/jit", &ci, &body).await.assert_status(202);
    world
        .post("/runners/jit", &ci, &json!({ "runner_name_prefix": "ci", "labels": ["cpu"] }))
        .await
        .refused(403, "label_policy_violation");

    let rows = scene.rows().await;
    let again = scene.applied(&document(), &json!({})).await;
    assert_eq!((changes(&again), &again["unchanged"]), (Vec::<String>::new(), &json!(7)));
    assert_ne!(scene.rows().await, rows, "the application itself is recorded");
    let rows =
        "SELECT count(*) FROM audit_log WHERE event_data -> 'applied' ->> 'owner' = 'default' AND success
        AND user_identity = 'root@example.com' AND request_ip = '127.0.0.1'";
    assert_eq!(world.count(rows).await, 7, "one row for each change");
    let rows = "SELECT count(*) FROM audit_log WHERE event_type = 'files.apply'";
    assert_eq!(world.count(rows).await, 2);
}

#[tokio::test]
async fn changed_file_changes_what_differs() {
    let scene = scene().await;
    scene.applied(&document(), &json!({})).await;
    let mut changed = document();
    changed["teams"][0]["max_runners"] = json!(20);
    changed["teams"][0]["optional_label_patterns"] = json!([]);
    changed["people"][1]["role"] = json!("member");
    changed["teams"][0]["clients"][0]["is_active"] = json!(false);
    changed["teams"][1]["is_active"] = json!(false);
    let plan = scene.applied(&changed, &json!({ "allow": { "many": true } })).await;
    let expected = [
        "update person grace@example.com",
        "update team web",
        "deactivate team games",
        "deactivate client web-ci of web",
    ];
    assert_eq!(changes(&plan), expected);
    let web = &plan["changes"][1];
    assert_eq!(web["before"], json!({ "max_runners": 10, "optional_label_patterns": ["glob:gpu-*"] }));
    assert_eq!(web["after"], json!({ "max_runners": 20, "optional_label_patterns": [] }));
    let ci = scene.world.issuer().machine_token("web-ci").unwrap();
    scene.world.get("/auth/me", &ci).await.refused(403, "inactive");

    // What an admin deactivated by hand stays so, and the plan says it.
    changed["teams"][1].as_object_mut().unwrap().remove("is_active");
    let plan = scene.applied(&changed, &json!({})).await;
    assert_eq!(changes(&plan), Vec::<String>::new());
    assert_eq!(
        plan["remarks"],
        json!(["Team games stays deactivated; write `is_active: true` to activate it."])
    );
    changed["teams"][1]["is_active"] = json!(true);
    assert_eq!(changes(&scene.applied(&changed, &json!({})).await), ["update team games"]);
}

#[tokio::test]
async fn dry_run_writes_nothing_and_a_reviewed_plan_is_what_happens() {
    let scene = scene().await;
    let before = scene.rows().await;
    let plan = scene.applied(&document(), &json!({ "dry_run": true })).await;
    assert_eq!((&plan["applied"], changes(&plan).len()), (&json!(false), 7));
    assert_eq!(scene.rows().await, before);
    assert_eq!(scene.applied(&document(), &json!({ "dry_run": true })).await["plan"], plan["plan"]);

    // Another admin adds a team in between.
    let world = &scene.world;
    world.post("/admin/teams", &scene.root, &json!({ "name": "games" })).await.assert_status(201);
    let before = scene.rows().await;
    let refused = scene.apply(&document(), &json!({ "plan": plan["plan"] })).await;
    assert_eq!(refused.refused(409, "plan_changed").pointers(), ["/plan"]);
    assert_eq!(scene.rows().await, before);
    let plan = scene.applied(&document(), &json!({ "dry_run": true })).await;
    assert!(changes(&plan).contains(&"adopt team games".to_owned()), "{plan}");
    let applied = scene.applied(&document(), &json!({ "plan": plan["plan"] })).await;
    assert_eq!((&applied["applied"], &applied["changes"]), (&json!(true), &plan["changes"]));
}

#[tokio::test]
async fn two_applications_at_once_make_each_row_once() {
    let scene = scene().await;
    let (document, options) = (document(), json!({}));
    let (a, b) = tokio::join!(scene.applied(&document, &options), scene.applied(&document, &options));
    let mut made = [changes(&a).len(), changes(&b).len()];
    made.sort_unstable();
    assert_eq!(made, [0, 7]);
    assert_eq!(scene.world.count("SELECT count(*) FROM teams").await, 2);
}

#[tokio::test]
async fn ended_team_loses_its_open_requests() {
    let scene = scene().await;
    scene.applied(&document(), &json!({})).await;
    let ci = scene.world.issuer().machine_token("web-ci").unwrap();
    let asked = scene.world.provision(&ci, provision_body("ci")).await;
    let fewer = json!({ "teams": [document()["teams"][1].clone()], "people": document()["people"] });
    let plan = scene.applied(&fewer, &json!({ "prune": true, "allow": { "many": true } })).await;
    assert_eq!(changes(&plan), ["deactivate team web", "deactivate client web-ci of web"]);
    let state = scene.world.text("SELECT state FROM jobs WHERE id = $1", asked.job).await;
    assert_eq!(state, "cancelled");
    let reason =
        "SELECT count(*) FROM teams WHERE name = 'web' AND deactivation_reason = 'no longer in its files'";
    assert_eq!(scene.world.count(reason).await, 1);
}

#[tokio::test]
async fn thousand_teams_are_one_application() {
    let scene = scene().await;
    let people: Vec<Value> =
        (0..2_000).map(|n| json!({ "email": format!("person-{n}@example.com") })).collect();
    let teams: Vec<Value> = (0..1_000)
        .map(|n| {
            json!({
                "name": format!("team-{n}"),
                "required_labels": [format!("team-{n}")],
                "optional_label_patterns": ["glob:gpu-*", "cpu-[0-9]+"],
                "members": [format!("person-{}@example.com", n * 2), format!("person-{}@example.com", n * 2 + 1)],
                "clients": [{ "client_id": format!("ci-{n}") }],
            })
        })
        .collect();
    let mut document = json!({ "people": people, "teams": teams });
    let plan = scene.applied(&document, &json!({})).await;
    assert_eq!(plan["counts"], json!({ "create": 6_000 }));
    assert_eq!((plan["changes"].as_array().unwrap().len(), &plan["omitted"]), (5_000, &json!(1_000)));
    assert_eq!(
        scene.world.count("SELECT count(*) FROM audit_log WHERE event_type <> 'files.apply'").await,
        6_000
    );
    for team in document["teams"].as_array_mut().unwrap() {
        team["max_runners"] = json!(7);
    }
    let plan = scene.applied(&document, &json!({})).await;
    assert_eq!((&plan["counts"], &plan["unchanged"]), (&json!({ "update": 1_000 }), &json!(5_000)));
    assert_eq!(scene.world.count("SELECT count(*) FROM teams WHERE max_runners = 7").await, 1_000);
}
