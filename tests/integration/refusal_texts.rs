//! Texts of refusals, as callers read them.

use std::fmt::Write as _;

use harness::{Anyone, ApiRequest, World, provision_body, team_draft};
use serde_json::json;
use store::{TeamDraft, UserDraft};
use uuid::Uuid;

/// Refusals of one world, as text.
struct Texts<'w> {
    world: &'w World,
    text: String,
}

impl Texts<'_> {
    /// Sends a request that must be refused and adds its status, code, texts and pointers.
    async fn add(&mut self, case: &str, request: ApiRequest) {
        let response = request.send().await;
        assert!((400..500).contains(&response.status), "{case}: {} {}", response.status, response.text);
        let detail = response.body["detail"].as_str().unwrap();
        let title = response.body["title"].as_str().unwrap();
        let detail = detail.replace(self.world.issuer().url(), "https://issuer.example");
        let (status, code) = (response.status, response.code());
        writeln!(self.text, "{case}\n    {status} {code}: {title}\n    {detail}").unwrap();
        for error in response.body["errors"].as_array().into_iter().flatten() {
            let (pointer, detail) = (error["pointer"].as_str().unwrap(), error["detail"].as_str().unwrap());
            writeln!(self.text, "    `{pointer}`: {detail}").unwrap();
        }
    }
}

#[tokio::test]
async fn refusals_of_callers_are_as_reviewed() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let (gone, vera) = (world.user("gone", &[&red]).await, world.user("vera", &[]).await);
    world.change("UPDATE users SET is_active = false WHERE id = $1", gone.id.into()).await;
    world.change("UPDATE users SET is_viewer = true WHERE id = $1", vera.id.into()).await;
    let no_jit = UserDraft { can_use_jit: false, ..world.user_draft("ned") };
    let ned = world.person(no_jit, &[&red]).await;
    let body = provision_body("ci");
    let mut texts = Texts { world: &world, text: String::new() };

    texts.add("no token", world.ask("GET", "/jobs").by(&Anyone)).await;
    texts.add("malformed token", world.ask("GET", "/jobs").by("nonsense")).await;
    let expired = world.token(&json!({ "sub": "ada", "iat": 1_000_000, "nbf": 1_000_000, "exp": 1_000_600 }));
    texts.add("expired token", world.ask("GET", "/jobs").by(&expired)).await;
    let other = world.token(&json!({ "sub": "ada", "aud": "another-service" }));
    texts.add("token for another audience", world.ask("GET", "/jobs").by(&other)).await;
    let stranger = json!({ "sub": "eve", "email": "eve@example.com", "email_verified": true });
    texts.add("unknown identity", world.ask("GET", "/jobs").by(&world.token(&stranger))).await;
    texts.add("deactivated user", world.ask("GET", "/jobs").by(&gone)).await;
    texts.add("viewer who provisions", world.ask("POST", "/runners/jit").by(&vera).json(&body)).await;
    texts.add("member who administers", world.ask("GET", "/admin/users").by(&ada)).await;
    texts.add("user without JIT configs", world.ask("POST", "/runners/jit").by(&ned).json(&body)).await;
    let registration = world.ask("POST", "/runners/provision").by(&ada);
    texts.add("registration token", registration.json(&json!({ "runner_name": "old-1" }))).await;
    insta::assert_snapshot!("refusals-of-callers", texts.text);
}

#[tokio::test]
async fn refusals_by_team_policy_are_as_reviewed() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(TeamDraft { max_runners: Some(1), ..team_draft("red") }).await;
    let blue = world.team(team_draft("blue")).await;
    let grey = world.team(team_draft("grey")).await;
    let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&red, &blue]).await);
    let (eve, gus) = (world.user("eve", &[]).await, world.user("gus", &[&grey]).await);
    let deactivated =
        "UPDATE teams SET is_active = false, deactivation_reason = 'moved to blue' WHERE id = $1";
    world.change(deactivated, grey.id.into()).await;
    let jit = |who| world.ask("POST", "/runners/jit").by(who);
    let body = provision_body("ci");
    let mut texts = Texts { world: &world, text: String::new() };

    let labels = json!({ "runner_name_prefix": "ci", "labels": ["gpu-1", "prod"] });
    texts.add("label outside the policy", jit(&ada).json(&labels)).await;
    let group = json!({ "runner_name_prefix": "ci", "runner_group_id": 99 });
    texts.add("runner group outside the policy", jit(&ada).json(&group)).await;
    let team = json!({ "runner_name_prefix": "ci", "team_id": blue.id });
    texts.add("another team", jit(&ada).json(&team)).await;
    texts.add("several teams and none named", jit(&bob).json(&body)).await;
    texts.add("no team", jit(&eve).json(&body)).await;
    texts.add("deactivated team", jit(&gus).json(&body)).await;
    world.provision(&ada, body.clone()).await;
    texts.add("quota used up", jit(&ada).json(&body)).await;
    let mut text = texts.text;
    for (name, team) in [("red", &red), ("blue", &blue)] {
        text = text.replace(&team.id.to_string(), &format!("<id of {name}>"));
    }
    insta::assert_snapshot!("refusals-by-policy", text);
}

#[tokio::test]
async fn refusals_of_requests_are_as_reviewed() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&red]).await);
    let jit = || world.ask("POST", "/runners/jit").by(&ada);
    let get = |path: &str| world.ask("GET", path).by(&ada);
    let body = provision_body("ci");
    let mut texts = Texts { world: &world, text: String::new() };

    texts.add("no such path", get("/nothing")).await;
    texts.add("method of another path", world.ask("DELETE", "/jobs").by(&ada)).await;
    texts.add("no such job", get(&format!("/jobs/{}", Uuid::nil()))).await;
    texts.add("malformed id", get("/jobs/one")).await;
    texts.add("limit out of range", get("/jobs?limit=0")).await;
    texts.add("malformed cursor", get("/jobs?cursor=one")).await;
    texts.add("malformed JSON", jit().raw("application/json", "{")).await;
    texts.add("another content type", jit().raw("text/plain", "runner")).await;
    let invalid = json!({ "runner_name": "-x", "labels": ["", "a,b"], "work_folder": "/etc" });
    texts.add("several invalid values", jit().json(&invalid)).await;
    let keyed = |body| jit().header("idempotency-key", "one").json(body);
    keyed(&body).send().await.assert_status(202);
    texts.add("idempotency key of another request", keyed(&provision_body("other"))).await;

    let asked = world.provision(&ada, body.clone()).await;
    let path = format!("/jobs/{}", asked.job);
    let credential = |who| world.ask("POST", &format!("{path}/credential")).by(who);
    texts.add("config that is not ready", credential(&ada)).await;
    texts.add("config of another member", credential(&bob)).await;
    world.delete(&path, &ada).await.assert_status(200);
    texts.add("config of a cancelled job", credential(&ada)).await;
    texts.add("cancelled job cancelled again", world.ask("DELETE", &path).by(&ada)).await;
    insta::assert_snapshot!("refusals-of-requests", texts.text);
}
