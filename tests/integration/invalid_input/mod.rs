//! Invalid requests: a problem with a code and pointers, no rows written, never a 5xx.

mod administration;

use harness::{Anyone, ApiRequest, ApiResponse, Person, World, provision_body, team_draft};
use serde_json::{Value, json};
use uuid::Uuid;

struct Scene {
    world: World,
    ada: Person,
    root: Person,
}

async fn scene() -> Scene {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    Scene { ada: world.user("ada", &[&red]).await, root: world.admin().await, world }
}

impl Scene {
    fn jit(&self) -> ApiRequest {
        self.world.ask("POST", "/runners/jit").by(&self.ada)
    }

    async fn assert_refused(&self, ask: ApiRequest, status: u16, code: &str) -> ApiResponse {
        let answer = ask.send().await.refused(status, code);
        assert!(answer.body["type"].as_str().unwrap().ends_with(code));
        assert!(!answer.body["title"].as_str().unwrap().is_empty());
        assert!(!answer.body["detail"].as_str().unwrap().is_empty());
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(!answer.header("x-request-id").is_empty());
        answer
    }

    async fn assert_invalid(&self, body: &Value, pointer: &str) {
        let answer = self.assert_refused(self.jit().json(body), 422, "validation_failed").await;
        assert!(answer.pointers().contains(&pointer), "{body}: {}", answer.text);
    }

    async fn assert_nothing_written(&self) {
        let rows = "SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM runners)
             + (SELECT count(*) FROM idempotency_keys) + (SELECT count(*) FROM audit_log)
             + (SELECT count(*) FROM security_events) + (SELECT count(*) FROM credentials)";
        assert_eq!(self.world.count(rows).await, 0);
    }
}

#[tokio::test]
async fn values_out_of_bounds_are_reported_with_pointers() {
    let scene = scene().await;
    let with = |name: &str, value: Value| {
        let mut body = provision_body("ci");
        body[name] = value;
        body
    };
    let cases = [
        (json!({}), "/runner_name_prefix"),
        (json!({ "runner_name": "" }), "/runner_name"),
        (json!({ "runner_name": "x".repeat(65) }), "/runner_name"),
        (json!({ "runner_name": "-x" }), "/runner_name"),
        (json!({ "runner_name": "a\nb" }), "/runner_name"),
        (json!({ "runner_name": "../x" }), "/runner_name"),
        (json!({ "runner_name": "ñ" }), "/runner_name"),
        (json!({ "runner_name": "a", "runner_name_prefix": "b" }), "/runner_name_prefix"),
        (json!({ "runner_name_prefix": "" }), "/runner_name_prefix"),
        (json!({ "runner_name_prefix": "x".repeat(52) }), "/runner_name_prefix"),
        (with("labels", json!(vec!["gpu-1"; 101])), "/labels"),
        (with("labels", json!(["gpu-1", "x".repeat(257)])), "/labels/1"),
        (with("labels", json!([""])), "/labels/0"),
        (with("labels", json!(["a,b"])), "/labels/0"),
        (with("labels", json!(["a\u{0}b"])), "/labels/0"),
        (with("labels", json!(["gpu-\u{1b}[31m"])), "/labels/0"),
        (with("labels", json!([" gpu-1"])), "/labels/0"),
        (with("labels", json!("gpu-1")), "/labels"),
        (with("labels", json!(["gpu-1", 7])), "/labels/1"),
        (with("labels", Value::Null), "/labels"),
        (with("runner_group_id", json!(0)), "/runner_group_id"),
        (with("runner_group_id", json!(-1)), "/runner_group_id"),
        (with("runner_group_id", json!("1")), "/runner_group_id"),
        (with("runner_group_id", json!(1.5)), "/runner_group_id"),
        (with("runner_group_id", json!(1e300)), "/runner_group_id"),
        (with("team", json!(7)), "/team"),
        (with("team", json!("")), "/team"),
        (with("team", json!("x".repeat(51))), "/team"),
        (with("team_id", json!("red")), "/team_id"),
        (with("team_id", json!(7)), "/team_id"),
        (with("work_folder", json!("/etc")), "/work_folder"),
        (with("work_folder", json!("a/../..")), "/work_folder"),
        (with("work_folder", json!("")), "/work_folder"),
        (with("work_folder", json!("a;rm -rf")), "/work_folder"),
        (with("ephemeral", json!(false)), "/ephemeral"),
    ];
    for (body, pointer) in &cases {
        scene.assert_invalid(body, pointer).await;
    }
    let several = json!({ "runner_name": "", "labels": ["", "a,b"], "runner_group_id": 0 });
    let answer = scene.assert_refused(scene.jit().json(&several), 422, "validation_failed").await;
    assert_eq!(answer.pointers(), ["/runner_name", "/labels/0", "/labels/1", "/runner_group_id"]);
    scene.assert_nothing_written().await;
}

#[tokio::test]
async fn invalid_bodies_are_refused() {
    let scene = scene().await;
    let json = "application/json";
    let deep = format!("{}1{}", "[".repeat(30_000), "]".repeat(30_000));
    let labels = format!(r#"{{"runner_name_prefix":"a","labels":{deep}}}"#);
    for body in ["", "{", "\u{feff}{}", "nonsense", "{}{}", r#"{"runner_name_prefix":"a",}"#, &deep] {
        let code = if body == deep { "validation_failed" } else { "malformed_body" };
        let status = if body == deep { 422 } else { 400 };
        scene.assert_refused(scene.jit().raw(json, body), status, code).await;
    }
    let answer = scene.jit().raw(json, labels).send().await;
    assert!(matches!(answer.status, 400 | 422), "{}", answer.text);
    scene.assert_refused(scene.jit().raw(json, b"\xff\xfe{}".to_vec()), 400, "malformed_body").await;
    let bad_text = b"{\"runner_name_prefix\":\"\xc3\x28\"}".to_vec();
    scene.assert_refused(scene.jit().raw(json, bad_text), 400, "malformed_body").await;
    for body in ["null", "[]", "7", "\"x\"", "true"] {
        scene.assert_refused(scene.jit().raw(json, body), 422, "validation_failed").await;
    }
    let twice = r#"{"runner_name_prefix":"a","runner_name_prefix":"b"}"#;
    scene.assert_refused(scene.jit().raw(json, twice), 422, "validation_failed").await;
    let large = format!(r#"{{"runner_name_prefix":"{}"}}"#, "x".repeat(1 << 20));
    scene.assert_refused(scene.jit().raw(json, large), 413, "payload_too_large").await;
    scene.assert_nothing_written().await;
}

#[tokio::test]
async fn other_content_types_are_refused() {
    let scene = scene().await;
    let body = provision_body("ci").to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        scene.assert_refused(scene.jit().raw(kind, body.as_str()), 415, "unsupported_media_type").await;
    }
    scene.assert_refused(scene.jit(), 415, "unsupported_media_type").await;
    scene.assert_nothing_written().await;
    scene.jit().raw("Application/JSON; charset=utf-8", body).send().await.assert_status(202);
}

#[tokio::test]
async fn unknown_ids_are_not_found() {
    let scene = scene().await;
    let (ada, root, world) = (&scene.ada, &scene.root, &scene.world);
    for id in [Uuid::now_v7().to_string(), Uuid::nil().to_string(), "x".into(), "%00".into(), "..%2f".into()]
    {
        for (method, path) in [
            ("GET", format!("/jobs/{id}")),
            ("DELETE", format!("/jobs/{id}")),
            ("GET", format!("/jobs/{id}/events")),
            ("POST", format!("/jobs/{id}/credential")),
            ("GET", format!("/runners/{id}")),
        ] {
            scene.assert_refused(world.ask(method, &path).by(ada), 404, "not_found").await;
        }
        for (method, path) in [
            ("GET", format!("/admin/teams/{id}")),
            ("GET", format!("/admin/teams/{id}/members")),
            ("DELETE", format!("/admin/teams/{id}/members/{id}")),
        ] {
            scene.assert_refused(world.ask(method, &path).by(root), 404, "not_found").await;
        }
        let path = format!("/admin/teams/{id}");
        scene
            .assert_refused(
                world.ask("PATCH", &path).by(root).json(&json!({ "weight": 2 })),
                404,
                "not_found",
            )
            .await;
    }
    scene.assert_nothing_written().await;
}

#[tokio::test]
async fn query_values_out_of_bounds_are_reported_with_pointers() {
    let scene = scene().await;
    for list in ["/runners", "/jobs", "/audit-logs", "/admin/users", "/admin/teams", "/admin/security-events"]
    {
        for (query, pointer) in [
            ("limit=-1", "query:limit"),
            ("limit=0", "query:limit"),
            ("limit=1001", "query:limit"),
            ("limit=x", "query:limit"),
            ("limit=99999999999999999999", "query:limit"),
            ("offset=-1", "query:offset"),
            ("offset=1000001", "query:offset"),
            ("cursor=x", "query:cursor"),
            ("cursor=%00", "query:cursor"),
            ("colour=red", "query:colour"),
        ] {
            let ask = scene.world.ask("GET", &format!("{list}?{query}")).by(&scene.root);
            let answer = scene.assert_refused(ask, 422, "validation_failed").await;
            assert_eq!(answer.pointers(), [pointer], "{list}?{query}");
        }
    }
    let of_its_own = [
        ("/runners?status=gone", "query:status"),
        ("/runners?ephemeral=maybe", "query:ephemeral"),
        ("/jobs?state=lost", "query:state"),
        ("/jobs?kind=x", "query:kind"),
        ("/audit-logs?since=yesterday", "query:since"),
        ("/admin/security-events?severity=dire", "query:severity"),
    ];
    for (path, pointer) in of_its_own {
        let answer = scene
            .assert_refused(scene.world.ask("GET", path).by(&scene.root), 422, "validation_failed")
            .await;
        assert_eq!(answer.pointers(), [pointer], "{path}");
    }
    scene.assert_nothing_written().await;
}

#[tokio::test]
async fn waits_have_bounds() {
    let scene = scene().await;
    for wait in ["wait=-1", "wait=x", "wait=1e9", "wait=\"\"", "wait", "respond-async, wait=x", "\"", "=,;"] {
        let ask = scene.jit().header("prefer", wait).json(&provision_body("ci"));
        let answer = ask.send().await.assert_status(202);
        assert_eq!(answer.header("preference-applied"), "", "{wait} cannot be read and is ignored");
    }
    let job = scene.world.provision(&scene.ada, provision_body("ci")).await.job;
    for wait in ["26", "-1", "x"] {
        let ask = scene.world.ask("GET", &format!("/jobs/{job}?wait={wait}")).by(&scene.ada);
        let answer = scene.assert_refused(ask, 422, "validation_failed").await;
        assert_eq!(answer.pointers(), ["query:wait"]);
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused() {
    let scene = scene().await;
    for path in ["/", "/nothing", "/runners/", "/admin", "/jobs/x/y/z", "/../metrics"] {
        scene.assert_refused(scene.world.ask("GET", path).by(&scene.ada), 404, "not_found").await;
    }
    for (method, path) in
        [("PUT", "/runners/jit"), ("DELETE", "/runners"), ("TRACE", "/jobs"), ("PATCH", "/auth/me")]
    {
        let answer = scene
            .assert_refused(scene.world.ask(method, path).by(&scene.ada), 405, "method_not_allowed")
            .await;
        assert!(!answer.header("allow").is_empty(), "{method} {path}");
    }
}

#[tokio::test]
async fn token_is_accepted_once_and_as_a_bearer_only() {
    let scene = scene().await;
    let token = scene.ada.token.as_str();
    let me = || scene.world.ask("GET", "/auth/me");
    let without = scene.assert_refused(me().by(&Anyone), 401, "unauthenticated").await;
    assert_eq!(without.header("www-authenticate"), "Bearer");
    for value in ["", "Bearer", "Basic YTpi", token, &format!("Token {token}"), &format!("Bearer{token}")] {
        scene.assert_refused(me().header("authorization", value), 401, "unauthenticated").await;
    }
    scene.assert_refused(me().by(token).by(token), 401, "unauthenticated").await;
    for value in [
        "Bearer x",
        "Bearer a.b.c",
        &format!("Bearer {token} {token}"),
        &format!("Bearer {}", "x".repeat(17_000)),
    ] {
        let answer = scene.assert_refused(me().header("authorization", value), 401, "invalid_token").await;
        assert!(answer.header("www-authenticate").contains("invalid_token"));
    }
    me().header("authorization", &format!("bEaReR {token}")).send().await.assert_status(200);
    let lists = ["/runners", "/jobs", "/audit-logs", "/teams/my-teams", "/admin/teams", "/admin/users"];
    for path in lists {
        scene.assert_refused(scene.world.ask("GET", path), 401, "unauthenticated").await;
    }
}
