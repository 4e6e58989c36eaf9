//! Pages of runners: list, life, check and removal.

use harness::{Person, World, provision_body, team_draft, wait_until};
use serde_json::json;
use store::TeamDraft;
use uuid::Uuid;

use super::{audit_rows, shown};

/// Two teams with a member each, and an admin.
struct Scene {
    world: World,
    ada: Person,
    bob: Person,
    root: Person,
}

async fn scene() -> Scene {
    let world = World::start().await;
    let any_label = TeamDraft { optional_label_patterns: vec!["*".to_owned()], ..team_draft("web") };
    let (web, games) = (world.team(any_label).await, world.team(team_draft("games")).await);
    let (ada, bob) = (world.user("ada", &[&web]).await, world.user("bob", &[&games]).await);
    Scene { root: world.admin().await, ada, bob, world }
}

impl Scene {
    /// Provisions a runner of ada. Returns its id and name.
    async fn runner(&self, labels: &[&str]) -> (Uuid, String) {
        let body = json!({ "runner_name_prefix": "ci", "labels": labels });
        let asked = self.world.provision(&self.ada, body).await;
        let job = self.world.until_final(&self.ada, asked.job).await;
        assert_eq!(job["state"], "succeeded", "{job}");
        (asked.runner, job["runner_name"].as_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn list_shows_own_runners_and_keeps_filters_in_the_url() {
    let scene = scene().await;
    let (world, ada) = (&scene.world, scene.world.sign_in(&scene.ada).await);
    let empty = ada.get("/runners").await.assert_status(200);
    assert!(shown(&empty).contains("You have no runners."), "{}", empty.text);
    let (id, name) = scene.runner(&["linux", "one", "two", "three"]).await;

    let list = ada.get("/runners").await.assert_status(200);
    assert!(list.text.contains(&format!("/runners/{id}")) && list.text.contains(&name), "{}", list.text);
    assert!(list.text.contains("1 runner") && list.text.contains("+2"), "{}", list.text);
    assert!(!list.text.contains("name=\"id\""), "a member selects nothing");
    let none = ada.get("/runners?status=offline&q=ci").await.assert_status(200);
    assert!(none.text.contains("No runner fits.") && none.text.contains("state:offline"), "{}", none.text);
    assert!(none.text.contains("href=\"/runners?q=ci\""), "{}", none.text);
    let bob = world.sign_in(&scene.bob).await.get("/runners").await.assert_status(200);
    assert!(!bob.text.contains(&name), "{}", bob.text);

    // What people type are words too; a text without a word is a name, a label or a person.
    let typed = ada.get("/runners?q=state:offline+by:ada@example.com").await.assert_status(303);
    assert_eq!(typed.header("location"), "/runners?state=offline&by=ada%40example.com");
    assert!(ada.get("/runners?q=three").await.assert_status(200).text.contains(&name));
    for (query, part) in [
        ("q=colour:red", "There is no `colour:`. Words: `state:`,"),
        ("q=colour:red+state:offline", "There is no `colour:`. Words: `state:`,"),
        ("state=sleeping", "one of requested, pending"),
        ("since=soon", "query:since"),
        ("state=active&since=1h", "Filter runners"),
    ] {
        let page = ada.get(&format!("/runners?{query}")).await.assert_status(200);
        assert!(shown(&page).contains(part), "{query}: {}", page.text);
    }

    // A wrong filter is a page that says so, not a list of all.
    let wrong = ada.get("/runners?colour=red").await.assert_status(422);
    assert!(wrong.text.contains("colour") && wrong.header("content-type").starts_with("text/html"));
    let nobody = world.browser().get("/runners").await.assert_status(303);
    assert!(nobody.header("location").starts_with("/sign-in?to="), "{}", nobody.header("location"));
}

#[tokio::test]
async fn version_near_its_end_has_its_days_in_the_list() {
    let scene = scene().await;
    let (id, _) = scene.runner(&["linux"]).await;
    let world = &scene.world;
    let ada = world.sign_in(&scene.ada).await;
    world.change("UPDATE runners SET stated_version = NULL, version = '2.321.0' WHERE id = $1", id).await;
    let left = async |days: i64| {
        let known = "INSERT INTO runner_versions (installation, version, registration_deprecates_at, checked_at)
            SELECT installation, version, now() + make_interval(days => $2::int, hours => 1), now() FROM runners WHERE id = $1
            ON CONFLICT (installation, version) DO UPDATE SET
                registration_deprecates_at = EXCLUDED.registration_deprecates_at";
        sqlx::query(known).bind(id).bind(days).execute(world.sql()).await.unwrap();
        shown(&ada.get("/runners").await.assert_status(200))
    };
    assert!(!left(40).await.contains('▲'), "far away");
    assert!(left(11).await.contains("▲ 11 days left"));
    let page = shown(&ada.get(&format!("/runners/{id}")).await.assert_status(200));
    assert!(page.contains("▲ 11 days left"), "{page}");
    assert!(left(-3).await.contains("▲ GitHub rejects it"));
}

#[tokio::test]
async fn older_rows_are_one_link_away() {
    let world = World::builder().workers(0).rate(100_000, 100_000).start().await;
    let web = world.team(team_draft("web")).await;
    let ada = world.user("ada", &[&web]).await;
    for _ in 0..51 {
        world.provision(&ada, provision_body("ci")).await;
    }
    let ada = world.sign_in(&ada).await;
    let first = ada.get("/runners").await.assert_status(200);
    let start = first.text.find("href=\"/runners?cursor=").expect("a link to older rows") + 6;
    let older = first.text[start..].split('"').next().unwrap();
    let page = ada.get(older).await.assert_status(200);
    let runners = |text: &str| text.matches("<th scope=\"row\"").count();
    assert_eq!((runners(&first.text), runners(&page.text)), (50, 1));
    assert!(page.text.contains("Newest"), "{}", page.text);
}

#[tokio::test]
async fn names_and_labels_with_markup_stay_text() {
    let scene = scene().await;
    let hostile = "<script>alert(1)</script>";
    let (id, _) = scene.runner(&[hostile, "\"><img/src=x/onerror=alert(1)>"]).await;
    let rename = "UPDATE users SET display_name = '<b onmouseover=alert(1)>ada</b>' WHERE id = $1";
    scene.world.change(rename, scene.ada.id.uuid()).await;
    let ada = scene.world.sign_in(&scene.ada).await;
    for path in ["/runners".to_owned(), format!("/runners/{id}"), format!("/runners/{id}/remove")] {
        let page = ada.get(&path).await.assert_status(200);
        for markup in ["<script>alert", "<img/src=x", "<b onmouseover"] {
            assert!(!page.text.contains(markup), "{path}: {}", page.text);
        }
    }
    let page = ada.get(&format!("/runners/{id}")).await;
    assert!(shown(&page).contains(hostile), "{}", page.text);
}

#[tokio::test]
async fn runner_page_tells_its_whole_life() {
    let scene = scene().await;
    let (id, name) = scene.runner(&["linux"]).await;
    let job =
        scene.world.get(&format!("/runners/{id}"), &scene.ada).await.body["events"][0]["job_id"].clone();
    let job: Uuid = job.as_str().unwrap().parse().unwrap();
    scene.world.credential(&scene.ada, job).await.assert_status(200);
    let ada = scene.world.sign_in(&scene.ada).await;
    let page = shown(&ada.get(&format!("/runners/{id}")).await.assert_status(200));
    assert!(page.contains(&name) && page.contains("linux"), "{page}");
    let parts = ["asked for", "provision job started", "GitHub created it", "config handed out"];
    let places: Vec<_> =
        parts.iter().map(|part| page.find(part).unwrap_or_else(|| panic!("{part}: {page}"))).collect();
    assert!(places.is_sorted(), "{places:?} {page}");
    assert!(page.contains("by ada@example.com") && page.contains("x-github-request-id"), "{page}");

    let state = ada.get(&format!("/runners/{id}/state")).await.assert_status(200);
    assert!(state.text.contains("pending") && !state.text.contains("<html"), "{}", state.text);
    let bob = scene.world.sign_in(&scene.bob).await;
    bob.get(&format!("/runners/{id}")).await.assert_status(404);
    bob.get(&format!("/runners/{id}/state")).await.assert_status(404);
    ada.get("/runners/not-an-id").await.assert_status(404);
}

#[tokio::test]
async fn member_checks_and_removes_a_runner_after_a_preview() {
    let scene = scene().await;
    let (world, (id, name)) = (&scene.world, scene.runner(&[]).await);
    let (ada, bob) = (world.sign_in(&scene.ada).await, world.sign_in(&scene.bob).await);
    let path = format!("/runners/{id}");
    let checked = ada.post(&format!("{path}/check"), &[]).await.assert_status(303);
    assert_eq!(checked.header("location"), path);
    assert!(ada.get(&path).await.text.contains("being checked on GitHub"));
    assert_eq!(audit_rows(world, "runner.refresh").await, 1);

    let preview = ada.get(&format!("{path}/remove")).await.assert_status(200);
    assert!(preview.text.contains("Remove 1 runner from GitHub?") && preview.text.contains(&name));
    assert_eq!(audit_rows(world, "runner.deprovision").await, 0);
    let vera = world.sign_in(&world.viewer("vera").await).await;
    vera.post(&format!("{path}/remove"), &[]).await.assert_status(403);
    bob.post(&format!("{path}/remove"), &[]).await.assert_status(404);
    world.browser().post(&format!("{path}/remove"), &[]).await.assert_status(401);
    assert_eq!(world.count("SELECT count(*) FROM jobs WHERE kind = 'deprovision'").await, 0);
    assert_eq!(audit_rows(world, "viewer.denied").await, 1);

    ada.post(&format!("{path}/remove"), &[]).await.assert_status(303);
    wait_until("the runner is gone", || async {
        world.get(&path, &scene.ada).await.body["status"] == "deleted"
    })
    .await;
    assert!(!world.twin.runners().iter().any(|runner| runner.name == name));
    let gone = ada.get(&format!("{path}/remove")).await.assert_status(200);
    assert!(gone.text.contains("Nothing can be removed"), "{}", gone.text);
}

#[tokio::test]
async fn admin_removes_selected_runners_with_a_reason() {
    let scene = scene().await;
    let world = &scene.world;
    let ((first, _), (second, _), (kept, _)) =
        (scene.runner(&[]).await, scene.runner(&[]).await, scene.runner(&[]).await);
    let root = world.sign_in(&scene.root).await;
    let list = root.get("/runners").await.assert_status(200);
    assert_eq!(list.text.matches("name=\"id\"").count(), 3, "{}", list.text);
    let path = format!("/runners/remove?id={first}&id={second}");
    let preview = root.get(&path).await.assert_status(200);
    assert!(preview.text.contains("Remove 2 runners from GitHub?"), "{}", preview.text);
    assert!(!preview.text.contains(&kept.to_string()), "{}", preview.text);

    let (first, second) = (first.to_string(), second.to_string());
    let form = |count, reason| {
        [("id", first.as_str()), ("id", second.as_str()), ("count", count), ("reason", reason)]
    };
    let reason = "the old image is withdrawn";
    for refused in [form("2", "short"), form("3", reason)] {
        root.post("/runners/remove", &refused).await.assert_status(422);
    }
    for person in [&scene.ada, &scene.bob] {
        let member = world.sign_in(person).await;
        member.get(&path).await.assert_status(403);
        member.post("/runners/remove", &form("2", reason)).await.assert_status(403);
    }
    assert_eq!(world.count("SELECT count(*) FROM jobs WHERE kind = 'deprovision'").await, 0);
    root.post("/runners/remove", &form("2", reason)).await.assert_status(303);
    assert!(root.get("/runners").await.text.contains("The removal of 2 runners was requested."));
    assert_eq!(world.count("SELECT count(*) FROM jobs WHERE kind = 'deprovision'").await, 2);
    assert_eq!(
        (audit_rows(world, "batch.start").await, audit_rows(world, "runner.deprovision").await),
        (1, 2)
    );
    root.get("/runners/remove").await.assert_status(422);
}
