//! Batches: many people, teams or runners in one call.

mod large;

use harness::{ApiResponse, Person, World, provision_body, team_draft};
use serde_json::{Value, json};
use store::TeamDraft;
use uuid::Uuid;

/// People of a batch that is too large to be done within its request.
const MANY: usize = 150;

struct Scene {
    world: World,
    root: Person,
}

impl Scene {
    async fn new() -> Self {
        let world = World::builder().workers(1).start().await;
        Self { root: world.admin().await, world }
    }

    async fn send(&self, action: &str, body: &Value) -> ApiResponse {
        self.world.post(&format!("/admin/batch/{action}"), &self.root, body).await
    }

    async fn done(&self, action: &str, body: &Value) -> Value {
        let batch = self.send(action, body).await.assert_status(200).body;
        assert!(batch["dry_run"] == true || batch["state"] == "done", "{batch}");
        batch
    }

    async fn refused(&self, action: &str, body: &Value, pointer: &str) {
        let refused = self.send(action, body).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), [pointer], "{}", refused.text);
    }

    async fn show(&self, batch: &Value) -> Value {
        let path = format!("/admin/batch/{}", batch["id"].as_str().unwrap());
        self.world.get(&path, &self.root).await.assert_status(200).body
    }

    /// Adds people and starts a batch that the scheduler has to go on with.
    async fn large_batch(&self) -> Value {
        let people = "INSERT INTO users (id, email) SELECT gen_random_uuid(), 'p' || n || '@example.com'
            FROM generate_series(1, $1) n";
        sqlx::query(people).bind(i32::try_from(MANY).unwrap()).execute(self.world.sql()).await.unwrap();
        let body = json!({ "comment": "the company was sold", "all": true, "expected_count": MANY + 1 });
        let batch = self.send("disable-users", &body).await.assert_status(202);
        assert_eq!(
            batch.header("location"),
            format!("/api/v1/admin/batch/{}", batch.body["id"].as_str().unwrap())
        );
        batch.body
    }

    async fn step(&self) {
        scheduler::batches::run(self.world.scheduler_parts()).await.unwrap();
    }

    async fn inactive(&self) -> i64 {
        self.world.count("SELECT count(*) FROM users WHERE NOT is_active").await
    }
}

fn outcomes(batch: &Value, key: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    batch["details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (text(&item[key]), text(&item["status"])))
        .collect()
}

#[tokio::test]
async fn people_are_disabled_and_restored_except_the_caller_and_admins() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let (ada, bob, eve) =
        (world.user("ada", &[]).await, world.user("bob", &[]).await, world.user("eve", &[]).await);
    let make = json!({ "is_admin": true });
    world.patch(&format!("/admin/users/{}", eve.id), &scene.root, &make).await.assert_status(200);
    let ids: Vec<Uuid> = [&ada, &bob, &eve, &scene.root].iter().map(|person| person.id.uuid()).collect();
    let body = json!({ "comment": "contractors left the company", "user_ids": ids });

    let preview = scene
        .done("disable-users", &json!({ "comment": body["comment"], "user_ids": ids, "dry_run": true }))
        .await;
    assert_eq!(
        (&preview["dry_run"], &preview["affected_count"], scene.inactive().await),
        (&json!(true), &json!(4), 0)
    );

    let batch = scene.done("disable-users", &body).await;
    assert_eq!(
        (&batch["success"], &batch["affected_count"], &batch["skipped_count"]),
        (&json!(true), &json!(2), &json!(2))
    );
    let mut found = outcomes(&batch, "email");
    found.sort();
    let wanted = [("ada", "done"), ("bob", "done"), ("eve", "spared"), ("root", "spared")]
        .map(|(name, status)| (format!("{name}@example.com"), status.to_owned()));
    assert_eq!(found, wanted);
    world.get("/auth/me", &ada).await.refused(403, "inactive");
    let rows =
        "SELECT count(*) FROM audit_log WHERE event_type = 'user.deactivate' AND event_data ? 'batch_id'
        AND event_data ->> 'comment' = 'contractors left the company' AND user_identity = 'root@example.com'";
    assert_eq!(world.count(rows).await, 2);
    assert_eq!(world.count("SELECT count(*) FROM audit_log WHERE event_type = 'batch.start'").await, 1);

    let again =
        scene.done("disable-users", &json!({ "comment": "once more, please", "user_ids": [ada.id] })).await;
    assert_eq!(again["details"][0]["status"], "unchanged");
    let all = scene.done("restore-users", &json!({ "comment": "they are back again", "all": true })).await;
    assert_eq!((&all["affected_count"], scene.inactive().await), (&json!(2), 0));
}

#[tokio::test]
async fn empty_contradictory_and_surprising_selectors_are_refused() {
    let scene = Scene::new().await;
    let comment = "a reason of some length";
    scene.refused("disable-users", &json!({ "comment": comment }), "/user_ids").await;
    scene.refused("disable-users", &json!({ "comment": comment, "user_ids": [] }), "/user_ids").await;
    scene
        .refused("disable-users", &json!({ "comment": comment, "user_ids": null, "all": false }), "/user_ids")
        .await;
    let nothing = Uuid::now_v7();
    scene
        .refused("restore-users", &json!({ "comment": comment, "user_ids": [nothing] }), "/user_ids/0")
        .await;
    scene
        .refused(
            "restore-users",
            &json!({ "comment": comment, "user_ids": [nothing], "all": true }),
            "/user_ids",
        )
        .await;
    scene.refused("delete-runners", &json!({ "comment": comment }), "/runner_ids").await;
    scene.refused("deactivate-teams", &json!({ "comment": comment, "team_ids": [] }), "/team_ids").await;
    scene.refused("delete-runners", &json!({ "comment": comment, "team": "nowhere" }), "/team").await;
    scene.refused("disable-users", &json!({ "comment": "short", "all": true }), "/comment").await;

    for name in ["a", "b", "c", "d", "e", "f"] {
        scene.world.user(name, &[]).await;
    }
    scene.refused("disable-users", &json!({ "comment": comment, "all": true }), "/expected_count").await;
    let wrong = json!({ "comment": comment, "all": true, "expected_count": 6 });
    scene.refused("disable-users", &wrong, "/expected_count").await;
    assert_eq!((scene.inactive().await, scene.world.count("SELECT count(*) FROM batches").await), (0, 0));
    let right = json!({ "comment": comment, "all": true, "expected_count": 7 });
    assert_eq!(scene.done("disable-users", &right).await["affected_count"], 6);
}

#[tokio::test]
async fn caller_is_spared_among_admins() {
    let scene = Scene::new().await;
    let mona = scene.world.user("mona", &[]).await;
    let change = json!({ "is_admin": true });
    scene.world.patch(&format!("/admin/users/{}", mona.id), &scene.root, &change).await.assert_status(200);
    let body = json!({ "comment": "we clean up our admins", "user_ids": [mona.id, scene.root.id], "exclude_admins": false });
    let batch = scene.done("disable-users", &body).await;
    assert_eq!((&batch["affected_count"], &batch["skipped_count"]), (&json!(1), &json!(1)));
    scene.world.get("/auth/me", &scene.root).await.assert_status(200);
}

#[tokio::test]
async fn runners_of_one_person_are_removed_by_jobs() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let red = world.team(team_draft("red")).await;
    let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&red]).await);
    for who in [&ada, &ada, &bob] {
        let asked = world.provision(who, provision_body("ci")).await;
        assert_eq!(world.until_final(who, asked.job).await["state"], "succeeded");
    }
    let body =
        json!({ "comment": "ada has left the team", "user_identity": "ada@example.com", "team": "red" });
    let batch = scene.done("delete-runners", &body).await;
    assert_eq!(batch["affected_count"], 2);
    for item in batch["details"].as_array().unwrap() {
        let job = item["job_id"].as_str().unwrap().parse().unwrap();
        assert_eq!(world.until_final(&scene.root, job).await["state"], "succeeded");
    }
    assert_eq!(world.count("SELECT count(*) FROM runners WHERE status <> 'deleted'").await, 1);
    let again =
        json!({ "comment": "ada has left the team", "runner_ids": [batch["details"][0]["runner_id"]] });
    assert_eq!(scene.done("delete-runners", &again).await["details"][0]["status"], "unchanged");
}

#[tokio::test]
async fn teams_are_deactivated_with_a_reason_and_reactivated() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let (red, _) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    let ada = world.user("ada", &[&red]).await;
    let body = json!({ "comment": "budget cuts of this year", "reason": "no budget", "all": true });
    let batch = scene.done("deactivate-teams", &body).await;
    assert_eq!((&batch["affected_count"], outcomes(&batch, "team_name").len()), (&json!(2), 2));
    let refused = world.ask("POST", "/runners/jit").by(&ada).json(&provision_body("ci")).send().await;
    assert!(refused.refused(403, "team_inactive").text.contains("no budget"));
    let back = json!({ "comment": "budget was found again", "team_ids": [red.id] });
    assert_eq!(scene.done("reactivate-teams", &back).await["affected_count"], 1);
    world.provision(&ada, provision_body("ci")).await;
}

#[tokio::test]
async fn teams_are_selected_by_text_and_installation() {
    let scene = Scene::new().await;
    let world = &scene.world;
    for (name, description) in [("games-ci", None), ("games-qa", None), ("web", Some("All GAMES of the web"))]
    {
        let description = description.map(str::to_owned);
        world.team(TeamDraft { description, ..team_draft(name) }).await;
    }
    world.team(team_draft("payments")).await;
    let comment = "the games are sold to others";
    let preview = |filter: Value| {
        let mut body = json!({ "comment": comment, "dry_run": true });
        body.as_object_mut().unwrap().extend(filter.as_object().unwrap().clone());
        body
    };
    let named = |batch: &Value| {
        let mut names: Vec<_> = outcomes(batch, "team_name").into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    };
    let found = scene.done("deactivate-teams", &preview(json!({ "q": "Games" }))).await;
    assert_eq!(named(&found), ["games-ci", "games-qa", "web"]);
    let found =
        scene.done("deactivate-teams", &preview(json!({ "q": "%", "installation": "default" }))).await;
    assert_eq!(found["total"], 0, "a percent sign is a character");
    let found = scene.done("deactivate-teams", &preview(json!({ "installation": "default" }))).await;
    assert_eq!(found["total"], 4);
    let done = scene.done("deactivate-teams", &json!({ "comment": comment, "q": "games-" })).await;
    assert_eq!(done["affected_count"], 2);
    let found = scene.done("reactivate-teams", &preview(json!({ "q": "games" }))).await;
    assert_eq!(named(&found), ["games-ci", "games-qa"], "only deactivated teams");
    for (filter, pointer) in [
        (json!({ "q": "" }), "/q"),
        (json!({ "q": "x".repeat(101) }), "/q"),
        (json!({ "installation": "elsewhere" }), "/installation"),
        (json!({ "q": "games", "all": true }), "/team_ids"),
    ] {
        scene.refused("deactivate-teams", &preview(filter), pointer).await;
    }
}

#[tokio::test]
async fn large_batch_is_stopped_resumed_and_finished_by_the_scheduler() {
    let scene = Scene::new().await;
    let batch = scene.large_batch().await;
    assert_eq!((&batch["state"], &batch["affected_count"]), (&json!("running"), &json!(0)));
    let path = format!("/admin/batch/{}", batch["id"].as_str().unwrap());
    let (stop, nothing) = (format!("{path}/stop"), json!({}));
    let stopped = scene.world.post(&stop, &scene.root, &nothing).await.assert_status(200).body;
    assert_eq!(stopped["state"], "stopped");
    scene.world.post(&stop, &scene.root, &nothing).await.refused(422, "validation_failed");
    scene.step().await;
    assert_eq!(scene.inactive().await, 0);

    scene.world.post(&format!("{path}/resume"), &scene.root, &json!({})).await.assert_status(202);
    // A process died while it worked on the batch, before it wrote the outcome of the first person but the caller.
    let died = "UPDATE batches SET worked_on_by = 'dead', worked_on_until = now() - interval '1 second'";
    sqlx::query(died).execute(scene.world.sql()).await.unwrap();
    let first = "UPDATE users SET is_active = false WHERE id =
        (SELECT subject_id FROM batch_items WHERE name <> 'root@example.com' ORDER BY number LIMIT 1)";
    sqlx::query(first).execute(scene.world.sql()).await.unwrap();
    let ends = harness::wait_until("the batch ends", || async {
        scene.step().await;
        scene.show(&batch).await["state"] == "done"
    });
    Box::pin(ends).await;
    let ended = scene.show(&batch).await;
    let counts = [&ended["total"], &ended["affected_count"], &ended["skipped_count"], &ended["failed_count"]];
    let changed = counts[1].as_u64().unwrap() + counts[2].as_u64().unwrap();
    assert_eq!((changed, counts[3], scene.inactive().await), (151, &json!(0), 150), "{ended}");
    let rest = scene.world.get(&format!("{path}?after=149"), &scene.root).await.assert_status(200).body;
    assert_eq!(rest["details"].as_array().unwrap().len(), 2);
    let listed = scene.world.get("/admin/batch", &scene.root).await.assert_status(200).body;
    assert_eq!(listed["batches"][0]["id"], batch["id"]);
}

#[tokio::test]
async fn batch_stops_when_its_admin_is_no_admin_any_more() {
    let scene = Scene::new().await;
    let batch = scene.large_batch().await;
    let mona = scene.world.user("mona", &[]).await;
    for (admin, person) in [(true, mona.id), (false, scene.root.id)] {
        let change =
            sqlx::query("UPDATE users SET is_admin = $1 WHERE id = $2").bind(admin).bind(person.uuid());
        change.execute(scene.world.sql()).await.unwrap();
    }
    scene.step().await;
    let path = format!("/admin/batch/{}", batch["id"].as_str().unwrap());
    let stopped = scene.world.get(&path, &mona).await.assert_status(200).body;
    assert_eq!((&stopped["state"], &stopped["affected_count"]), (&json!("stopped"), &json!(0)));
    assert!(stopped["stop_reason"].as_str().unwrap().contains("no admin"), "{stopped}");
    scene.world.post(&format!("{path}/resume"), &mona, &json!({})).await.assert_status(202);
    scene.step().await;
    assert!(scene.world.get(&path, &mona).await.body["affected_count"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn members_and_viewers_start_no_batch() {
    let scene = Scene::new().await;
    let (ada, vera) = (scene.world.user("ada", &[]).await, scene.world.user("vera", &[]).await);
    let viewer = json!({ "is_viewer": true });
    scene.world.patch(&format!("/admin/users/{}", vera.id), &scene.root, &viewer).await.assert_status(200);
    let body = json!({ "comment": "a reason of some length", "all": true });
    let actions = "disable-users restore-users delete-runners deactivate-teams reactivate-teams retry-jobs discard-jobs";
    for action in actions.split(' ') {
        let path = format!("/admin/batch/{action}");
        scene.world.post(&path, &ada, &body).await.refused(403, "admin_required");
        scene.world.post(&path, &vera, &body).await.refused(403, "read_only");
    }
    scene.world.get("/admin/batch", &vera).await.assert_status(200);
    let unknown = format!("/admin/batch/{}", Uuid::now_v7());
    scene.world.get(&unknown, &vera).await.refused(404, "not_found");
    assert_eq!(scene.world.count("SELECT count(*) FROM batches").await, 0);
}
