//! Pages of teams: an admin makes one, gives it members and a policy, and ends it.

use harness::{Browser, Person, World, provision_body, team_draft};
use uuid::Uuid;

use super::{audit_rows, shown};

/// Fields of a valid team.
const FIELDS: [(&str, &str); 8] = [
    ("name", "web"),
    ("description", "The <b>web</b> team"),
    ("required_labels", "team-web"),
    ("optional_label_patterns", "glob:gpu-*\r\ncpu-[0-9]{1,2}"),
    ("max_runners", "5"),
    ("weight", "2.5"),
    ("drift_response", "delete"),
    ("installation", "default"),
];

/// Returns the fields with one value changed.
fn with<'f>(name: &str, value: &'f str) -> Vec<(&'f str, &'f str)> {
    let fields = FIELDS.iter().copied();
    fields.map(|(one, old)| if one == name { (one, value) } else { (one, old) }).collect()
}

async fn scene() -> (World, Person, Browser) {
    let world = World::builder().workers(0).start().await;
    let root = world.admin().await;
    let browser = world.sign_in(&root).await;
    (world, root, browser)
}

/// Makes the team of the fields. Returns its page's path.
async fn make_team(root: &Browser) -> String {
    let made = root.post("/teams/new", &FIELDS).await.assert_status(303);
    made.header("location").to_owned()
}

#[tokio::test]
async fn admin_makes_a_team_with_a_member_and_a_policy() {
    let (world, _, root) = scene().await;
    assert!(root.get("/teams").await.text.contains("There is no team yet."));
    let wrong = root.post("/teams/new", &with("name", "Web!")).await.assert_status(422);
    assert!(wrong.text.contains("value=\"Web!\"") && wrong.text.contains("field-error"), "{}", wrong.text);
    let wrong = root.post("/teams/new", &with("max_runners", "many")).await.assert_status(422);
    assert!(shown(&wrong).contains("/max_runners"), "{}", wrong.text);
    assert_eq!(world.count("SELECT count(*) FROM teams").await, 0);

    let path = make_team(&root).await;
    let page = root.get(&path).await.assert_status(200);
    assert!(page.text.contains("was added") && !page.text.contains("<b>web</b>"), "{}", page.text);
    for part in ["glob:gpu-*", "cpu-[0-9]{1,2}", "0 of 5 used", "This team has no members."] {
        assert!(shown(&page).contains(part), "{part}: {}", page.text);
    }
    let taken = root.post("/teams/new", &FIELDS).await.assert_status(409);
    assert!(shown(&taken).contains("already_exists"), "{}", taken.text);

    let ada = world.user("ada", &[]).await;
    let preview = root.get(&format!("{path}/members/add?person=ada@example.com")).await.assert_status(200);
    assert!(preview.text.contains("Add ada@example.com to web?"), "{}", preview.text);
    root.get(&format!("{path}/members/add?person=eve@example.com")).await.assert_status(422);
    let id = ada.id.to_string();
    root.post(&format!("{path}/members/add"), &[("user_id", &id)]).await.assert_status(303);
    assert!(root.get(&path).await.text.contains("ada@example.com is a member now."));
    assert_eq!((audit_rows(&world, "team.create").await, audit_rows(&world, "member.add").await), (1, 1));

    let mine = world.sign_in(&ada).await;
    let seen = mine.get(&path).await.assert_status(200);
    assert!(seen.text.contains("New runner") && !seen.text.contains("/edit"), "{}", seen.text);
    assert!(!seen.text.contains("Machine clients"), "{}", seen.text);
    let remove = format!("{path}/members/{id}/remove");
    assert!(root.get(&remove).await.assert_status(200).text.contains("Remove ada@example.com from web?"));
    root.post(&remove, &[]).await.assert_status(303);
    mine.get(&path).await.assert_status(404);
    assert_eq!(audit_rows(&world, "member.remove").await, 1);
}

#[tokio::test]
async fn draft_is_tried_on_past_requests_before_it_is_saved() {
    let (world, _, root) = scene().await;
    let path = make_team(&root).await;
    let id: Uuid = path.rsplit('/').next().unwrap().parse().unwrap();
    let team = harness::Team { id: id.into(), name: "web".to_owned() };
    let ada = world.user("ada", &[&team]).await;
    let body = serde_json::json!({ "runner_name_prefix": "ci", "labels": ["gpu-1"] });
    world.provision(&ada, body).await;
    world.provision(&ada, provision_body("ci")).await;

    let draft = with("optional_label_patterns", "glob:cpu-*");
    let tried = root.post(&format!("{path}/try"), &draft).await.assert_status(200);
    assert!(tried.text.contains("1 of 2 requests would have been refused"), "{}", tried.text);
    assert!(tried.text.contains(">glob:cpu-*</textarea>"), "{}", tried.text);
    assert_eq!(audit_rows(&world, "team.update").await, 0);
    root.post(&format!("{path}/edit"), &draft).await.assert_status(303);
    let team = world.get(&format!("/admin{path}"), &ada).await.assert_status(200).body;
    assert_eq!(team["optional_label_patterns"], serde_json::json!(["glob:cpu-*"]));
    assert_eq!(audit_rows(&world, "team.update").await, 1);
    root.post(&format!("{path}/edit"), &with("weight", "0")).await.assert_status(422);
    assert_eq!(audit_rows(&world, "team.update").await, 1);
}

#[tokio::test]
async fn deactivation_says_what_ends_and_needs_the_name() {
    let (world, _, root) = scene().await;
    let path = make_team(&root).await;
    let id: Uuid = path.rsplit('/').next().unwrap().parse().unwrap();
    let team = harness::Team { id: id.into(), name: "web".to_owned() };
    let ada = world.user("ada", &[&team]).await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    let preview = root.get(&format!("{path}/deactivate")).await.assert_status(200);
    assert!(preview.text.contains("1 open request is cancelled."), "{}", preview.text);

    let fields = |typed| [("reason", "moved to <i>infra</i>"), ("typed", typed)];
    let wrong = root.post(&format!("{path}/deactivate"), &fields("wep")).await.assert_status(422);
    assert!(!wrong.text.contains("<i>infra"), "{}", wrong.text);
    assert_eq!(world.job(&ada, asked.job).await["state"], "queued");
    root.post(&format!("{path}/deactivate"), &fields("web")).await.assert_status(303);
    assert_eq!(world.job(&ada, asked.job).await["state"], "cancelled");
    assert_eq!(audit_rows(&world, "team.deactivate").await, 1);
    let seen = world.sign_in(&ada).await.get(&path).await.assert_status(200);
    assert!(
        shown(&seen).contains("moved to <i>infra</i>") && !seen.text.contains("<i>infra"),
        "{}",
        seen.text
    );
    assert!(!seen.text.contains("New runner"), "{}", seen.text);

    root.get(&format!("{path}/reactivate")).await.assert_status(200);
    root.post(&format!("{path}/reactivate"), &[]).await.assert_status(303);
    assert_eq!(audit_rows(&world, "team.reactivate").await, 1);
    world.provision(&ada, provision_body("ci")).await;
}

#[tokio::test]
async fn only_admins_change_teams_and_others_are_recorded() {
    let (world, _, root) = scene().await;
    let path = make_team(&root).await;
    let red = world.team(team_draft("red")).await;
    let (ada, vera) = (world.user("ada", &[&red]).await, world.viewer("vera").await);
    let gets = ["/teams/new", "/edit", "/deactivate", "/reactivate", "/members/add?person=x"];
    let posts = ["/teams/new", "/edit", "/try", "/deactivate", "/reactivate", "/members/add"];
    let full =
        |part: &str| if part.starts_with("/teams") { part.to_owned() } else { format!("{path}{part}") };
    for person in [&ada, &vera] {
        let browser = world.sign_in(person).await;
        for part in gets {
            browser.get(&full(part)).await.assert_status(403);
        }
        for part in posts {
            browser.post(&full(part), &FIELDS).await.assert_status(403);
        }
    }
    assert!(audit_rows(&world, "admin.denied").await > 0 && audit_rows(&world, "viewer.denied").await > 0);
    assert_eq!((audit_rows(&world, "team.create").await, audit_rows(&world, "team.update").await), (1, 0));
    world.sign_in(&ada).await.get(&path).await.assert_status(404);
    let seen = world.sign_in(&vera).await.get(&path).await.assert_status(200);
    assert!(seen.text.contains("Machine clients") && !seen.text.contains("/edit"), "{}", seen.text);
}
