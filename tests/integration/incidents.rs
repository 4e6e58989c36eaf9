//! The incident switch: what ends, what stays, and what one call restores.

use github_twin::RunnerChange;
use harness::{ApiResponse, Person, Team, World, provision_body, team_draft};
use serde_json::{Value, json};
use store::UserDraft;
use uuid::Uuid;

struct Scene {
    world: World,
    root: Person,
    red: Team,
    ada: Person,
}

impl Scene {
    async fn new() -> Self {
        let world = World::builder().issuers(2).workers(1).start().await;
        let red = world.team(team_draft("red")).await;
        Self { root: world.admin().await, ada: world.user("ada", &[&red]).await, red, world }
    }

    async fn begin(&self, body: &Value) -> ApiResponse {
        self.world.post("/admin/incidents", &self.root, body).await
    }

    async fn undo(&self, incident: &Value) -> ApiResponse {
        let path = format!("/admin/incidents/{}/undo", incident["id"].as_str().unwrap());
        self.world.post(&path, &self.root, &json!({})).await
    }

    /// Returns a runner of Ada's whose config was handed out.
    async fn runner(&self) -> (Uuid, String) {
        let asked = self.world.provision(&self.ada, provision_body("ci")).await;
        assert_eq!(self.world.until_final(&self.ada, asked.job).await["state"], "succeeded");
        self.world.credential(&self.ada, asked.job).await.assert_status(200);
        (asked.runner, asked.name)
    }

    async fn is_active(&self, sql: &'static str, id: Uuid) -> bool {
        self.world.text(sql, id).await == "true"
    }
}

const USER: &str = "SELECT is_active::text FROM users WHERE id = $1";
const TEAM: &str = "SELECT is_active::text FROM teams WHERE id = $1";

#[tokio::test]
async fn team_is_switched_off_and_exactly_restored() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let (idle, _) = scene.runner().await;
    let (busy, name) = scene.runner().await;
    world.twin.set_runner(world.twin.runner(&name).unwrap().id, RunnerChange::online()).unwrap();
    world.change("UPDATE runners SET busy = true, status = 'active' WHERE id = $1", busy).await;
    let body = json!({ "team": "red", "reason": "its pipeline leaks secrets" });

    let preview = json!({ "team": "red", "reason": body["reason"], "dry_run": true });
    let preview = scene.begin(&preview).await.assert_status(200).body;
    assert_eq!((&preview["total"], &preview["now"]["busy_runners"]), (&json!(2), &json!(1)), "{preview}");
    assert!(scene.is_active(TEAM, scene.red.id.uuid()).await);

    let incident = scene.begin(&body).await.assert_status(201);
    let path = format!("/api/v1/admin/incidents/{}", incident.body["id"].as_str().unwrap());
    assert_eq!(incident.header("location"), path);
    let incident = incident.body;
    assert_eq!((&incident["state"], &incident["counts"]["done"]), (&json!("active"), &json!(2)), "{incident}");
    assert_eq!(incident["busy_runners"][0]["runner_id"], busy.to_string());
    let refused = world.ask("POST", "/runners/jit").by(&scene.ada).json(&provision_body("ci")).send().await;
    assert!(refused.refused(403, "team_inactive").text.contains("leaks secrets"));
    let removal = &incident["changes"][1];
    assert_eq!((&removal["kind"], &removal["id"]), (&json!("runner"), &json!(idle.to_string())));
    let job = removal["job_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(world.until_final(&scene.root, job).await["state"], "succeeded");
    let left = "SELECT count(*) FROM runners WHERE status <> 'deleted'";
    assert_eq!(world.count(left).await, 1, "the busy one stays");

    let undone = scene.undo(&incident).await.assert_status(200).body;
    assert_eq!((&undone["state"], &undone["changes"][0]["status"]), (&json!("undone"), &json!("undone")));
    world.provision(&scene.ada, provision_body("ci")).await;
    scene.undo(&incident).await.refused(422, "validation_failed");
    let rows = "SELECT count(*) FROM audit_log WHERE event_type IN ('incident.revoke', 'incident.undo')
        OR (event_type IN ('team.deactivate', 'team.reactivate') AND event_data ? 'incident_id')";
    assert_eq!(world.count(rows).await, 4);
}

#[tokio::test]
async fn open_requests_and_unread_configs_of_a_person_end() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let unread = world.provision(&scene.ada, provision_body("ci")).await;
    world.until_final(&scene.ada, unread.job).await;
    world.queue().pause_lane(domain::Lane::Provision, std::time::Duration::from_mins(5)).await.unwrap();
    let open = world.provision(&scene.ada, provision_body("ci")).await;
    let body = json!({ "user": "ada@example.com", "reason": "her laptop was stolen" });
    let incident = scene.begin(&body).await.assert_status(201).body;
    assert_eq!((&incident["left"]["open_jobs"], &incident["left"]["configs"]), (&json!(0), &json!(0)), "{incident}");
    assert_eq!(world.job(&scene.root, open.job).await["state"], "cancelled");
    world.get("/auth/me", &scene.ada).await.refused(403, "inactive");
    scene.undo(&incident).await.assert_status(200);
    world.get("/auth/me", &scene.ada).await.assert_status(200);
    assert_eq!(world.job(&scene.root, open.job).await["state"], "cancelled", "it does not come back");
}

#[tokio::test]
async fn what_was_off_before_stays_off() {
    let scene = Scene::new().await;
    let path = format!("/admin/users/{}", scene.ada.id);
    scene.world.patch(&path, &scene.root, &json!({ "is_active": false })).await.assert_status(200);
    let body = json!({ "user": scene.ada.id, "reason": "a second look at her" });
    let incident = scene.begin(&body).await.assert_status(201).body;
    assert_eq!(incident["changes"][0]["status"], "unchanged", "{incident}");
    scene.undo(&incident).await.assert_status(200);
    assert!(!scene.is_active(USER, scene.ada.id.uuid()).await);
}

#[tokio::test]
async fn blocked_issuer_refuses_people_machines_and_invitations() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let second = world.issuers[1].url().to_owned();
    let bob = UserDraft { issuer: Some(second.clone()), ..world.user_draft("bob") };
    let bob = world.person(bob, &[&scene.red]).await;
    let claims = json!({ "sub": "bob", "email": "bob@example.com", "email_verified": true });
    let token = world.issuers[1].token(&claims).unwrap();
    world.get("/auth/me", &token).await.assert_status(200);
    let asked = world.provision(&token, provision_body("ci")).await;
    world.until_final(&scene.root, asked.job).await;

    let body = json!({ "issuer": second, "reason": "its signing key was published" });
    let incident = scene.begin(&body).await.assert_status(201).body;
    world.get("/auth/me", &token).await.refused(403, "inactive");
    world.get("/auth/me", &scene.ada).await.assert_status(200);
    assert_eq!((&incident["left"]["configs"], &incident["counts"]["done"]), (&json!(0), &json!(2)), "{incident}");
    assert!(scene.is_active(USER, bob.id.uuid()).await, "the account itself stays as it is");
    scene.begin(&body).await.refused(409, "already_exists");

    let invited = UserDraft { issuer: None, subject: None, ..world.user_draft("carol") };
    world.person(invited, &[]).await;
    let carol = json!({ "sub": "carol", "email": "carol@example.com", "email_verified": true });
    let carol = world.issuers[1].token(&carol).unwrap();
    world.get("/auth/me", &carol).await.refused(403, "unknown_principal");
    let bound = "SELECT count(*) FROM users WHERE email = 'carol@example.com' AND subject IS NOT NULL";
    assert_eq!(world.count(bound).await, 0);

    scene.undo(&incident).await.assert_status(200);
    world.get("/auth/me", &token).await.assert_status(200);
}

#[tokio::test]
async fn machine_client_is_switched_off_and_on() {
    let scene = Scene::new().await;
    let machine = scene.world.machine("ci-pipeline", &scene.red).await;
    let body = json!({ "client": "ci-pipeline", "reason": "its secret is in a log" });
    let incident = scene.begin(&body).await.assert_status(201).body;
    scene.world.get("/auth/me", &machine).await.refused(403, "inactive");
    scene.undo(&incident).await.assert_status(200);
    scene.world.get("/auth/me", &machine).await.assert_status(200);
}

#[tokio::test]
async fn incident_is_finished_by_the_scheduler_after_a_crash() {
    let scene = Scene::new().await;
    let incident = Uuid::now_v7();
    let begun = "WITH begun AS (INSERT INTO incidents (id, target_kind, target_id, target_name, reason, admin_id,
            worked_on_by, worked_on_until)
            SELECT $1, 'user', users.id, 'ada@example.com', 'her laptop was stolen', $2, 'dead', now() - interval '1 s'
            FROM users WHERE email = 'ada@example.com' RETURNING target_id)
        INSERT INTO incident_items (incident_id, number, kind, subject_id, name)
        SELECT $1, 1, 'user', target_id, 'ada@example.com' FROM begun";
    sqlx::query(begun).bind(incident).bind(scene.root.id.uuid()).execute(scene.world.sql()).await.unwrap();
    scheduler::batches::run_incidents(scene.world.scheduler_parts()).await.unwrap();
    assert!(!scene.is_active(USER, scene.ada.id.uuid()).await);
    let path = format!("/admin/incidents/{incident}");
    let report = scene.world.get(&path, &scene.root).await.assert_status(200).body;
    assert_eq!((&report["state"], &report["counts"]["done"]), (&json!("active"), &json!(1)));
    let listed = scene.world.get("/admin/incidents", &scene.root).await.assert_status(200).body;
    assert_eq!(listed["incidents"][0]["id"], incident.to_string());
}

#[tokio::test]
async fn own_access_and_unclear_targets_are_refused() {
    let scene = Scene::new().await;
    let reason = "a reason of some length";
    for (body, pointer) in [
        (json!({ "reason": reason }), ""),
        (json!({ "reason": reason, "team": "red", "user": "ada@example.com" }), ""),
        (json!({ "reason": reason, "team": "nowhere" }), "/team"),
        (json!({ "reason": reason, "user": "eve@example.com" }), "/user"),
        (json!({ "reason": reason, "client": "nothing" }), "/client"),
        (json!({ "reason": reason, "issuer": "https://unknown.example.com" }), "/issuer"),
        (json!({ "reason": reason, "issuer": scene.world.issuer().url() }), "/issuer"),
        (json!({ "reason": reason, "user": scene.root.id }), "/user"),
        (json!({ "reason": "short", "team": "red" }), "/reason"),
    ] {
        let refused = scene.begin(&body).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), [pointer], "{body}: {}", refused.text);
    }
    let body = json!({ "reason": reason, "team": "red" });
    scene.world.post("/admin/incidents", &scene.ada, &body).await.refused(403, "admin_required");
    assert_eq!(scene.world.count("SELECT count(*) FROM incidents").await, 0);
}

#[tokio::test]
async fn commands_begin_show_and_undo_an_incident() {
    let scene = Scene::new().await;
    let changes = scene.world.caller_environment(&scene.root.token);
    let run = |words: Vec<String>| {
        let (world, changes) = (&scene.world, &changes);
        async move {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            world.command(&words, changes).await
        }
    };
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let revoke = |more: &str| {
        let mut all = words("incident revoke --user ada@example.com");
        all.extend(["--reason".to_owned(), "her laptop was stolen".to_owned()]);
        all.extend(words(more));
        all
    };
    let preview = run(revoke("--dry-run")).await.expect(0);
    assert!(preview.stdout.contains("would end the access of ada@example.com: 1 changes"), "{}", preview.stdout);
    run(revoke("-o table")).await.expect(2);
    assert!(scene.is_active(USER, scene.ada.id.uuid()).await);
    let begun = run(revoke("--yes -o json")).await.expect(0).json();
    assert!(!scene.is_active(USER, scene.ada.id.uuid()).await);
    let id = begun["id"].as_str().unwrap();
    let report = run(words(&format!("incident report {id}"))).await.expect(0);
    assert!(report.stdout.contains("ada@example.com is active: 1 done"), "{}", report.stdout);
    run(words(&format!("incident undo {id}"))).await.expect(0);
    assert!(scene.is_active(USER, scene.ada.id.uuid()).await);
    let listed = run(words("incident list")).await.expect(0);
    assert!(listed.stdout.contains("undone") && listed.stdout.contains(id), "{}", listed.stdout);
    run(words("incident revoke --reason none")).await.expect(2);
}
