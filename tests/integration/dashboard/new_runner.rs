//! The request for a runner, from the form to the config.

use harness::{ApiResponse, Browser, Person, Team, World, eventually, logs, team_draft};
use store::TeamDraft;
use uuid::Uuid;

use super::{audit_rows, shown};

struct Scene {
    world: World,
    web: Team,
    ada: Person,
}

async fn scene(world: World) -> Scene {
    let draft = TeamDraft { max_runners: Some(2), ..team_draft("web") };
    let web = world.team(draft).await;
    Scene { ada: world.user("ada", &[&web]).await, web, world }
}

/// Returns the path of the request's page once its config is ready.
async fn ready(browser: &Browser, asked: &ApiResponse) -> String {
    let path = asked.header("location").to_owned();
    assert!(path.starts_with("/jobs/") && path.ends_with("/config"), "{path}");
    eventually("the config is ready", || async {
        let page = browser.get(&path).await.assert_status(200);
        page.text.contains("Show the config").then_some(())
    })
    .await;
    path
}

#[tokio::test]
async fn form_checks_the_request_and_names_the_rule() {
    let scene = scene(World::builder().workers(0).start().await).await;
    let ada = scene.world.sign_in(&scene.ada).await;
    let form = ada.get("/runners/new").await.assert_status(200);
    assert!(form.text.contains("0 of 2 used") && form.text.contains("team-web"), "{}", form.text);
    let team = scene.web.id.to_string();
    let with = |labels| [("team", team.as_str()), ("name", "ci"), ("labels", labels)];

    let allowed = ada.post("/runners/check", &with("linux, gpu-4")).await.assert_status(200);
    let text = shown(&allowed);
    assert!(text.contains("would be accepted") && text.contains("glob:gpu-*"), "{text}");
    assert!(text.contains("value=\"linux, gpu-4\""), "the form keeps its values: {text}");
    let refused = shown(&ada.post("/runners/check", &with("cpu-4")).await.assert_status(200));
    assert!(refused.contains("would be refused") && refused.contains("label_policy_violation"), "{refused}");
    let unread = shown(&ada.post("/runners/check", &with("bad label\u{e9}x y")).await);
    assert!(unread.contains("/labels/0") || unread.contains("label"), "{unread}");

    // A script gets the result alone.
    let request = ada.request("POST", "/runners/check").header("sec-fetch-site", "same-origin");
    let part = ada.send(request.header("hx-request", "true").form(&with("cpu-4"))).await.assert_status(200);
    assert!(part.text.contains("would be refused") && !part.text.contains("<html"), "{}", part.text);
    assert_eq!(scene.world.count("SELECT count(*) FROM jobs").await, 0);
    assert_eq!(audit_rows(&scene.world, "runner.provision").await, 0);

    let sent = ada.post("/runners/new", &with("cpu-4")).await.assert_status(403);
    assert!(shown(&sent).contains("label_policy_violation"), "{}", sent.text);
    assert_eq!(audit_rows(&scene.world, "runner.provision").await, 1);
    assert_eq!(scene.world.count("SELECT count(*) FROM jobs").await, 0);
}

#[tokio::test]
async fn config_is_shown_only_on_the_click_that_hands_it_out() {
    logs::record("trace");
    let scene = scene(World::start().await).await;
    let world = &scene.world;
    let bob = world.user("bob", &[&scene.web]).await;
    let ada = world.sign_in(&scene.ada).await;
    let form = ada.get("/runners/new").await.assert_status(200);
    let key = form.text.split("name=\"key\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let team = scene.web.id.to_string();
    let fields = [("key", key), ("team", &team), ("name", "ci"), ("labels", "linux")];
    let asked = ada.post("/runners/new", &fields).await.assert_status(303);
    // A form that is sent twice asks once.
    let again = ada.post("/runners/new", &fields).await.assert_status(303);
    assert_eq!(again.header("location"), asked.header("location"));
    assert_eq!(world.count("SELECT count(*) FROM runners").await, 1);

    let path = ready(&ada, &asked).await;
    let before = ada.get(&path).await.assert_status(200);
    assert_eq!(audit_rows(world, "credential.fetch").await, 0);
    let others = world.sign_in(&bob).await;
    assert!(!others.get(&path).await.assert_status(200).text.contains("Show the config"));
    others.post(&path, &[]).await.assert_status(403);
    let outsider = world.user("eve", &[]).await;
    world.sign_in(&outsider).await.post(&path, &[]).await.assert_status(404);
    assert_eq!(audit_rows(world, "credential.fetch").await, 2, "the tries of bob and eve are rows");
    world.browser().post(&path, &[]).await.assert_status(401);
    let cross = ada.request("POST", &path).header("sec-fetch-site", "cross-site");
    ada.send(cross).await.assert_status(403);

    let handed = ada.post(&path, &[]).await.assert_status(200);
    assert_eq!(handed.header("cache-control"), "no-store");
    let text = shown(&handed);
    let config = text.split("ACTIONS_RUNNER_INPUT_JITCONFIG='").nth(1).unwrap().split('\'').next().unwrap();
    assert!(config.len() > 100 && text.contains("For two minutes you can have it shown again"), "{text}");
    let rows = audit_rows(world, "credential.fetch").await;
    assert!(rows >= 2, "the hand-out and bob's try are rows, not {rows}");
    let mut links = before.text.split("href=\"/runners/").skip(1);
    let runner = links.find_map(|part| part.get(..36)?.parse::<Uuid>().ok()).expect("a link to the runner");
    let runner = ada.get(&format!("/runners/{runner}")).await.assert_status(200);
    for (place, text) in [
        ("the page before", &before.text),
        ("the page of the runner", &runner.text),
        ("the form", &form.text),
        ("the log", &logs::recorded()),
    ] {
        assert!(!text.contains(config), "{place} has the config");
    }

    // Two minutes later it is gone for everybody.
    let job = path.split('/').nth(2).unwrap().parse().unwrap();
    let age = "UPDATE credentials SET first_read_at = first_read_at - interval '3 minutes' WHERE job_id = $1";
    world.change(age, job).await;
    let gone = ada.post(&path, &[]).await.assert_status(410);
    assert!(!gone.text.contains(config));
    assert!(ada.get(&path).await.text.contains("The config is gone."));
}

#[tokio::test]
async fn full_team_viewers_and_strangers_get_no_runner() {
    let scene = scene(World::builder().workers(0).start().await).await;
    let (world, team) = (&scene.world, scene.web.id.to_string());
    let ada = world.sign_in(&scene.ada).await;
    let fields = [("team", team.as_str()), ("name", "ci"), ("labels", "")];
    for _ in 0..2 {
        let asked = ada.post("/runners/new", &fields).await.assert_status(303);
        let waiting = ada.get(asked.header("location")).await.assert_status(200);
        assert!(waiting.text.contains("not ready yet") && waiting.text.contains("waits for a worker"));
    }
    let full = ada.post("/runners/new", &fields).await.assert_status(403);
    assert!(
        shown(&full).contains("quota_exceeded") && full.text.contains("full: 2 of 2 used"),
        "{}",
        full.text
    );
    let unnamed = ada.post("/runners/new", &[("team", team.as_str()), ("name", "")]).await.assert_status(422);
    assert!(shown(&unnamed).contains("/runner_name_prefix"), "{}", unnamed.text);

    let vera = world.sign_in(&world.viewer("vera").await).await;
    vera.post("/runners/new", &fields).await.assert_status(403);
    let eve = world.sign_in(&world.user("eve", &[]).await).await;
    assert!(eve.get("/runners/new").await.text.contains("You belong to no team."));
    eve.post("/runners/new", &fields).await.assert_status(403);
    assert_eq!(world.count("SELECT count(*) FROM runners").await, 2);
    world.browser().post("/runners/new", &fields).await.assert_status(401);
}

#[tokio::test]
async fn request_that_fails_says_why() {
    let scene = scene(World::start().await).await;
    let ada = scene.world.sign_in(&scene.ada).await;
    let team = scene.web.id.to_string();
    let exact = [("team", team.as_str()), ("name", "builder-7"), ("exact", "1"), ("labels", "")];
    ada.post("/runners/new", &exact).await.assert_status(303);
    let taken = ada.post("/runners/new", &exact).await.assert_status(409);
    assert!(shown(&taken).contains("runner_name_conflict"), "{}", taken.text);
    assert!(taken.text.contains("value=\"builder-7\"") && taken.text.contains(" checked"), "{}", taken.text);
}
