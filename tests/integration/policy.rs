//! Refusals before any effect: an audit row is written and GitHub is not called.

use domain::ProblemCode;
use futures::future::join_all;
use harness::{ApiResponse, Person, Team, World, provision_body, team_draft};
use serde_json::{Value, json};
use store::{TeamDraft, UserDraft};

struct Scene {
    world: World,
    red: Team,
    ada: Person,
}

async fn scene(team: TeamDraft) -> Scene {
    let world = World::start().await;
    let red = world.team(team).await;
    let ada = world.user("ada", &[&red]).await;
    Scene { world, red, ada }
}

impl Scene {
    /// Checks a refusal: its code, one audit row, and no other effect.
    async fn assert_refused(&self, body: &Value, code: ProblemCode) -> ApiResponse {
        let before = self.count_audit_rows().await;
        let answer = self.world.jit(&self.ada, body).await.refused(code.status(), code.as_str());
        assert_eq!(self.count_audit_rows().await, before + 1, "one audit row");
        self.assert_no_effect().await;
        answer
    }

    async fn count_audit_rows(&self) -> i64 {
        let rows = "SELECT count(*) FROM audit_log WHERE event_type = 'runner.provision' AND NOT success
             AND user_identity = 'ada@example.com' AND error_message IS NOT NULL AND request_id IS NOT NULL
             AND request_ip = '127.0.0.1'";
        self.world.count(rows).await
    }

    async fn assert_no_effect(&self) {
        assert_eq!(
            self.world.count("SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM runners)").await,
            0
        );
        assert!(self.world.twin.ledger().entries.is_empty());
        assert!(self.world.redis().keys().await.iter().all(|key| !key.contains("}:job:")));
    }

    async fn count_security_events(&self, kind: &str) -> i64 {
        let sql = "SELECT count(*) FROM security_events WHERE event_type = $1 AND action_taken = 'refused'
             AND user_identity = 'ada@example.com' AND team_id = $2";
        let pool = self.world.sql();
        sqlx::query_scalar(sql).bind(kind).bind(self.red.id.uuid()).fetch_one(pool).await.unwrap()
    }
}

#[tokio::test]
async fn labels_outside_the_policy_are_refused_and_named() {
    let scene = scene(team_draft("red")).await;
    for labels in [json!(["linux", "cpu-1"]), json!(["team-blue"]), json!(["gpu"]), json!(["xgpu-1"])] {
        let body = json!({ "runner_name_prefix": "ci", "labels": labels });
        scene.assert_refused(&body, ProblemCode::LabelPolicyViolation).await;
    }
    let body = json!({ "runner_name_prefix": "ci", "labels": ["gpu-1", "cpu-1", "self-hosted", "cpu-2"] });
    let answer = scene.assert_refused(&body, ProblemCode::LabelPolicyViolation).await;
    assert_eq!(answer.pointers(), ["/labels/1", "/labels/3"]);
    assert_eq!(scene.count_security_events("label_policy_violation").await, 5);
    let tried = scene.world.sql();
    let data: Value =
        sqlx::query_scalar("SELECT violation_data FROM security_events ORDER BY id DESC LIMIT 1")
            .fetch_one(tried)
            .await
            .unwrap();
    assert_eq!(data["labels"], json!(["cpu-1", "cpu-2"]));
    assert_eq!(data["label_count"], 4);
}

#[tokio::test]
async fn names_of_hosted_images_are_refused_by_every_policy() {
    let scene = scene(TeamDraft { optional_label_patterns: vec!["*".into()], ..team_draft("red") }).await;
    for label in ["ubuntu-latest", "Ubuntu-24.04", "windows-2025", "macos-15-xlarge"] {
        let body = json!({ "runner_name_prefix": "ci", "labels": [label] });
        scene.assert_refused(&body, ProblemCode::LabelPolicyViolation).await;
    }
    let fine = json!({ "runner_name_prefix": "ci", "labels": ["ubuntu-of-ours", "anything-at-all"] });
    scene.world.jit(&scene.ada, &fine).await.assert_status(202);
}

#[tokio::test]
async fn look_alike_and_blank_labels_are_refused() {
    let scene = scene(TeamDraft { optional_label_patterns: vec!["*".into()], ..team_draft("red") }).await;
    for label in ["ubuntu\u{2011}latest", "windowſ-latest", "ubuntu-lаtest", "sеlf-hosted", "ｕbuntu-latest"]
    {
        let body = json!({ "runner_name_prefix": "ci", "labels": [label] });
        scene.assert_refused(&body, ProblemCode::LabelPolicyViolation).await;
    }
    for label in
        ["full build", "\u{feff}ubuntu-latest", "\u{202e}ubuntu-latest", "ubuntu- latest", "a\u{ad}b"]
    {
        let body = json!({ "runner_name_prefix": "ci", "labels": [label] });
        let refused = scene.world.jit(&scene.ada, &body).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), ["/labels/0"], "{label:?}");
    }
}

#[tokio::test]
async fn label_required_by_a_team_is_refused_to_other_teams() {
    let scene = scene(TeamDraft {
        optional_label_patterns: vec!["*".into(), "team-blue".into()],
        ..team_draft("red")
    })
    .await;
    let wish = |label: &str| json!({ "runner_name_prefix": "ci", "labels": [label] });
    scene.world.team(team_draft("blue")).await;
    let common = ["linux", "self-hosted", "Straße", "BIG", "a:b/c"].map(str::to_owned).to_vec();
    scene.world.team(TeamDraft { required_labels: common, ..team_draft("common") }).await;
    for label in ["ｔeam-blue", "Team-BLUE", "STRASSE", "straße", "big", "ＢＩＧ", "A:b/C"] {
        scene.assert_refused(&wish(label), ProblemCode::LabelPolicyViolation).await;
    }
    for label in ["linux", "self-hosted", "x64"] {
        scene.world.jit(&scene.ada, &wish(label)).await.assert_status(202);
    }
}

#[tokio::test]
async fn self_hosted_is_added_by_default_and_overlaps_give_warnings() {
    let scene = scene(team_draft("blue")).await;
    let (world, root) = (&scene.world, scene.world.admin().await);
    let body = json!({ "name": "green", "optional_label_patterns": ["*"] });
    let team = world.post("/admin/teams", &root, &body).await.assert_status(201).body;
    assert_eq!(team["add_self_hosted"], true);
    assert_eq!(team["warnings"][0]["code"], "pattern_admits_label_of_other_team", "{team}");
    let path = format!("/admin/teams/{}", team["id"].as_str().unwrap());
    let body = json!({ "required_labels": ["Team-Blue", "ｇreen"], "optional_label_patterns": [] });
    let changed = world.patch(&path, &root, &body).await.assert_status(200).body;
    assert_eq!(changed["required_labels"], json!(["Team-Blue", "green"]));
    assert_eq!(changed["warnings"][0]["code"], "label_required_by_other_team", "{changed}");
    world
        .patch(&path, &root, &json!({ "required_labels": ["sеlf-hosted"] }))
        .await
        .refused(422, "validation_failed");

    let team = TeamDraft { add_self_hosted: true, ..team_draft("gold") };
    let gold = world.team(team).await;
    let goldie = world.user("goldie", &[&gold]).await;
    let asked = world.provision(&goldie, json!({ "runner_name_prefix": "ci", "labels": ["linux"] })).await;
    let done = world.until_final(&goldie, asked.job).await;
    let name = done["runner_name"].as_str().unwrap();
    let labels: Vec<String> =
        world.twin.runner(name).unwrap().labels.into_iter().map(|label| label.name).collect();
    assert_eq!(labels, ["team-gold", "linux", "self-hosted"]);
}

#[tokio::test]
async fn runner_group_needs_permission() {
    let scene = scene(team_draft("red")).await;
    let group = |id: u64| json!({ "runner_name_prefix": "ci", "runner_group_id": id });
    scene.assert_refused(&group(2), ProblemCode::RunnerGroupNotAllowed).await;
    assert_eq!(scene.count_security_events("runner_group_not_allowed").await, 1);
    scene.world.jit(&scene.ada, &group(1)).await.assert_status(202);
}

#[tokio::test]
async fn list_of_groups_replaces_the_default_one() {
    let scene = scene(TeamDraft { allowed_runner_group_ids: vec![7], ..team_draft("red") }).await;
    scene.assert_refused(&provision_body("ci"), ProblemCode::RunnerGroupNotAllowed).await;
}

#[tokio::test]
async fn inactive_team_is_refused_with_its_reason() {
    let scene = scene(team_draft("red")).await;
    let off = "UPDATE teams SET is_active = false, deactivation_reason = 'moved to blue' WHERE id = $1";
    scene.world.change(off, scene.red.id.uuid()).await;
    let answer = scene.assert_refused(&provision_body("ci"), ProblemCode::TeamInactive).await;
    assert!(answer.body["detail"].as_str().unwrap().contains("moved to blue"));
}

#[tokio::test]
async fn foreign_team_is_refused_like_a_missing_one() {
    let scene = scene(team_draft("red")).await;
    let blue = scene.world.team(team_draft("blue")).await;
    let of = |team: uuid::Uuid| json!({ "runner_name_prefix": "ci", "team_id": team });
    let foreign = scene.assert_refused(&of(blue.id.uuid()), ProblemCode::TeamForbidden).await;
    let unknown = scene.assert_refused(&of(uuid::Uuid::now_v7()), ProblemCode::TeamForbidden).await;
    assert_eq!(foreign.body, unknown.body);
    let named = "SELECT count(*) FROM audit_log WHERE NOT success AND team_id IS NULL
         AND event_data ->> 'team_id' IN (SELECT id::text FROM teams WHERE name = 'blue')";
    assert_eq!(scene.world.count(named).await, 1, "no row is written for the other team");
}

#[tokio::test]
async fn refused_request_stores_a_bounded_audit_row() {
    let scene = scene(team_draft("red")).await;
    let labels: Vec<String> = (0..100).map(|n| format!("{n}{}", "x".repeat(200))).collect();
    let body = json!({ "runner_name_prefix": "ci", "labels": labels });
    scene.assert_refused(&body, ProblemCode::LabelPolicyViolation).await;
    let sql = "SELECT max(pg_column_size(event_data::text))::int8 FROM audit_log WHERE NOT success";
    assert!(scene.world.count(sql).await < 2_500);
}

#[tokio::test]
async fn caller_without_team_is_refused() {
    let world = World::start().await;
    let ada = world.user("ada", &[]).await;
    world.jit(&ada, &provision_body("ci")).await.refused(403, "team_forbidden");
    let root = world.admin().await;
    world.jit(&root, &provision_body("ci")).await.refused(403, "team_forbidden");
}

#[tokio::test]
async fn caller_of_several_teams_must_name_one() {
    let world = World::start().await;
    let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    let ada = world.user("ada", &[&red, &blue]).await;
    let answer = world.jit(&ada, &provision_body("ci")).await.refused(422, "team_required");
    let detail = answer.body["detail"].as_str().unwrap();
    for team in [&red, &blue] {
        assert!(detail.contains(&team.name) && detail.contains(&team.id.to_string()), "{detail}");
    }
    assert_eq!(answer.pointers(), ["/team"]);
    let body = json!({ "runner_name_prefix": "ci", "team_id": blue.id });
    world.jit(&ada, &body).await.assert_status(202);
}

#[tokio::test]
async fn team_is_named_by_name_or_id_among_the_callers_own() {
    let world = World::builder().workers(0).start().await;
    let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    world.team(team_draft("green")).await;
    let ada = world.user("ada", &[&red, &blue]).await;
    let asked = |team: Value| json!({ "runner_name_prefix": "ci", "team": team });
    for (named, team) in [(json!("Blue"), &blue), (json!(red.id), &red)] {
        let runner = world.jit(&ada, &asked(named)).await.assert_status(202).body["runner_id"].clone();
        let path = format!("/runners/{}", runner.as_str().unwrap());
        assert_eq!(world.get(&path, &ada).await.body["team_id"], json!(team.id));
    }
    // A team of others and one that does not exist are told alike.
    let other = world.jit(&ada, &asked(json!("green"))).await.refused(403, "team_forbidden").body;
    let none = world.jit(&ada, &asked(json!("no such team"))).await.refused(403, "team_forbidden").body;
    assert_eq!(other["detail"], none["detail"]);
    let both = json!({ "runner_name_prefix": "ci", "team": "red", "team_id": red.id });
    assert_eq!(world.jit(&ada, &both).await.refused(422, "validation_failed").pointers(), ["/team_id"]);
    let ticket = json!({ "runner_name_prefix": "vm", "team": "blue", "addresses": ["10.1.0.0/16"] });
    let made = world.ask("POST", "/runners/tickets").by(&ada).json(&ticket).send().await.assert_status(201);
    assert_eq!(made.body["team_id"], json!(blue.id));
}

#[tokio::test]
async fn user_without_jit_permission_is_refused() {
    let world = World::start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.person(UserDraft { can_use_jit: false, ..world.user_draft("ada") }, &[&red]).await;
    let scene = Scene { world, red, ada };
    scene.assert_refused(&provision_body("ci"), ProblemCode::JitNotAllowed).await;
}

#[tokio::test]
async fn quota_holds_under_concurrent_requests() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(TeamDraft { max_runners: Some(5), ..team_draft("red") }).await;
    let ada = world.user("ada", &[&red]).await;
    let bot = world.machine("bot", &red).await;
    let body = provision_body("ci");
    let people = (0..10).map(|_| world.jit(&ada, &body));
    let machines = (0..10).map(|_| world.jit(&bot, &body));
    let (people, machines) = tokio::join!(join_all(people), join_all(machines));

    let (mut accepted, mut refused) = (Vec::new(), 0);
    for answer in people.into_iter().chain(machines) {
        if answer.status == 202 {
            accepted.push(answer);
        } else {
            answer.refused(403, "quota_exceeded");
            refused += 1;
        }
    }
    assert_eq!((accepted.len(), refused), (5, 15));
    assert_eq!(world.count("SELECT count(*) FROM runners WHERE status = 'requested'").await, 5);
    let told = "SELECT sum(occurrences)::int8 FROM security_events WHERE event_type = 'quota_exceeded'";
    assert_eq!(world.count(told).await, 15);
    assert_eq!(world.count("SELECT sum(occurrences)::int8 FROM audit_log WHERE NOT success").await, 15);

    let root = world.admin().await;
    let job = accepted[0].body["job_id"].as_str().unwrap();
    world.delete(&format!("/jobs/{job}"), &root).await.assert_status(200);
    world.jit(&ada, &body).await.assert_status(202);
    world.jit(&ada, &body).await.refused(403, "quota_exceeded");
}

#[tokio::test]
async fn quota_of_zero_refuses_every_request() {
    let scene = scene(TeamDraft { max_runners: Some(0), ..team_draft("red") }).await;
    scene.assert_refused(&provision_body("ci"), ProblemCode::QuotaExceeded).await;
    assert_eq!(scene.count_security_events("quota_exceeded").await, 1);
}

#[tokio::test]
async fn name_is_taken_until_its_runner_is_deleted() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let body = json!({ "runner_name": "builder-1" });
    let first = world.provision(&ada, body.clone()).await;
    let shouted = json!({ "runner_name": "BUILDER-1" });
    let answer = world.jit(&ada, &shouted).await.refused(409, "runner_name_conflict");
    assert_eq!(answer.pointers(), ["/runner_name"]);
    assert_eq!(world.count("SELECT count(*) FROM audit_log WHERE NOT success").await, 1);
    world.delete(&format!("/jobs/{}", first.job), &ada).await.assert_status(200);
    world.jit(&ada, &body).await.assert_status(202);
}
