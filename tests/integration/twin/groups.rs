//! Runner groups of the twin: their runners, and the repositories that may use them.

use github_twin::{PersonalToken, RunnerChange, TwinConfig};
use serde_json::{Value, json};

use super::support::{Github, Reply, wanted};

const GROUPS: &str = "/orgs/acme/actions/runner-groups";

/// Token that manages the enterprise.
const PERSONAL: &str = "ghp_enterprise";

async fn make(github: &Github, body: Value) -> String {
    let made = github.call("POST", GROUPS, &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    format!("{GROUPS}/{}", made.body["id"])
}

async fn repository(github: &Github, name: &str) -> u64 {
    github.get(&format!("/repos/acme/{name}")).await.body["id"].as_u64().unwrap()
}

fn listed(reply: &Reply, key: &str) -> Vec<String> {
    let all = reply.body[key].as_array().unwrap();
    assert_eq!(reply.body["total_count"], all.len());
    all.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

async fn put(github: &Github, path: &str, body: &Value) -> u16 {
    github.call("PUT", path, body).await.status
}

#[tokio::test]
async fn group_is_made_with_everything_the_body_names() {
    let github = Github::start().await;
    let (web, box_1) = (repository(&github, "web").await, github.runner("box-1").await);
    let workflow = "acme/web/.github/workflows/deploy.yaml@main";
    let one = make(
        &github,
        json!({
            "name": "gpu", "visibility": "selected", "selected_repository_ids": [web], "runners": [box_1],
            "allows_public_repositories": true, "restricted_to_workflows": true, "selected_workflows": [workflow],
        }),
    )
    .await;
    let group = github.get(&one).await.body;
    for (field, want) in [
        ("visibility", json!("selected")),
        ("default", json!(false)),
        ("allows_public_repositories", json!(true)),
        ("restricted_to_workflows", json!(true)),
        ("selected_workflows", json!([workflow])),
        ("selected_repositories_url", json!(format!("{}{one}/repositories", github.twin.url()))),
    ] {
        assert_eq!(group[field], want, "{field}");
    }
    assert_eq!(listed(&github.get(&format!("{one}/repositories")).await, "repositories"), ["web"]);
    assert_eq!(listed(&github.get(&format!("{one}/runners")).await, "runners"), ["box-1"]);
}

#[tokio::test]
async fn invalid_group_is_refused() {
    let github = Github::start().await;
    make(&github, json!({ "name": "gpu" })).await;
    for (body, status) in [
        (json!({}), 422),
        (json!({ "name": " " }), 422),
        (json!({ "name": "GPU" }), 409),
        (json!({ "name": "a", "visibility": "open" }), 422),
        (json!({ "name": "a", "runners": [77] }), 422),
        (json!({ "name": "a", "runners": "all" }), 422),
        (json!({ "name": "a", "selected_repository_ids": [77] }), 422),
        (json!({ "name": "a", "selected_workflows": [1] }), 422),
        (json!({ "name": "a", "restricted_to_workflows": "yes" }), 422),
    ] {
        assert_eq!(github.call("POST", GROUPS, &body).await.status, status, "{body}");
    }
    assert_eq!(listed(&github.get(GROUPS).await, "runner_groups"), ["Default", "gpu"]);
}

#[tokio::test]
async fn update_changes_only_what_it_names() {
    let github = Github::start().await;
    let one = make(&github, json!({ "name": "gpu", "restricted_to_workflows": true })).await;
    let changed = github.call("PATCH", &one, &json!({ "name": "cuda", "visibility": "private" })).await;
    assert_eq!((changed.status, &changed.body["name"]), (200, &json!("cuda")));
    let group = github.get(&one).await.body;
    assert_eq!((&group["visibility"], &group["restricted_to_workflows"]), (&json!("private"), &json!(true)));
    assert_eq!(github.call("PATCH", &one, &json!({ "name": "default" })).await.status, 409);
    assert_eq!(github.call("PATCH", &one, &json!({ "name": "cuda" })).await.status, 200, "its own name");
    assert_eq!(github.call("PATCH", &format!("{GROUPS}/99"), &json!({})).await.status, 404);
}

#[tokio::test]
async fn runners_move_between_groups() {
    let github = Github::start().await;
    let one = make(&github, json!({ "name": "gpu" })).await;
    let (a, b) = (github.runner("a").await, github.runner("b").await);
    let runners = format!("{one}/runners");
    let here = async || listed(&github.get(&runners).await, "runners");
    assert_eq!(put(&github, &runners, &json!({ "runners": [a] })).await, 204);
    assert_eq!(here().await, ["a"]);
    assert_eq!(put(&github, &runners, &json!({ "runners": [b] })).await, 204);
    assert_eq!(here().await, ["b"], "the list is replaced");
    assert_eq!(put(&github, &format!("{runners}/{a}"), &Value::Null).await, 204);
    assert_eq!(here().await, ["a", "b"]);
    assert_eq!(github.delete(&format!("{runners}/{b}")).await.status, 204);
    assert_eq!(github.delete(&format!("{runners}/{b}")).await.status, 404, "no longer in it");
    assert_eq!(here().await, ["a"]);
    for wrong in [json!({}), json!({ "runners": [99] })] {
        assert_eq!(put(&github, &runners, &wrong).await, 422, "{wrong}");
    }
    assert_eq!(put(&github, &format!("{runners}/99"), &Value::Null).await, 404);
    assert_eq!(github.delete(&one).await.status, 204);
    assert!(
        github.twin.runners().iter().all(|r| r.runner_group_id == 1),
        "the default group takes them back"
    );
}

#[tokio::test]
async fn selected_group_is_open_to_its_repositories_only() {
    let github = Github::start().await;
    let one = make(&github, json!({ "name": "gpu", "visibility": "selected" })).await;
    let visible = async |name: &str| {
        listed(&github.get(&format!("{GROUPS}?visible_to_repository={name}")).await, "runner_groups")
    };
    let (web, api) = (repository(&github, "web").await, repository(&github, "api").await);
    assert_eq!(visible("web").await, ["Default"]);
    let repositories = format!("{one}/repositories");
    assert_eq!(put(&github, &repositories, &json!({ "selected_repository_ids": [api] })).await, 204);
    assert_eq!(put(&github, &format!("{repositories}/{web}"), &Value::Null).await, 204);
    assert_eq!(github.delete(&format!("{repositories}/{api}")).await.status, 204);
    assert_eq!(visible("acme/web").await, ["Default", "gpu"]);
    assert_eq!(visible("api").await, ["Default"]);
    assert!(visible("nothing").await.is_empty());
    assert_eq!(put(&github, &format!("{repositories}/7"), &Value::Null).await, 404);
    assert_eq!(put(&github, &repositories, &json!({ "selected_repository_ids": [7] })).await, 422);
    let open = json!({ "selected_repository_ids": [web] });
    assert_eq!(put(&github, &format!("{GROUPS}/1/repositories"), &open).await, 422, "it is open to all");

    let mut body = wanted("box");
    body["runner_group_id"] = github.get(&one).await.body["id"].clone();
    let made = github.call("POST", super::support::JIT, &body).await.body["runner"]["id"].as_u64().unwrap();
    let control = github.twin.control();
    control.set_runner(made, RunnerChange::online()).unwrap();
    let (refused, taken) =
        (control.queue_job("acme/api", &[]).unwrap(), control.queue_job("acme/web", &[]).unwrap());
    assert!(control.start_job(refused.id, made).is_err());
    assert_eq!(control.start_job(taken.id, made).unwrap().runner.unwrap().group_name, "gpu");
}

#[tokio::test]
async fn enterprise_has_groups_of_its_own() {
    const THERE: &str = "/enterprises/initech/actions/runner-groups";
    let github = Github::with(TwinConfig {
        enterprises: vec!["initech".to_owned()],
        personal_tokens: vec![PersonalToken::new(PERSONAL, "manage_runners:enterprise")],
        ..TwinConfig::default()
    })
    .await;
    let ask =
        async |method: &str, path: &str, body: Value| github.with_token(PERSONAL, method, path, &body).await;
    let org = github.get("/orgs/acme").await.body["id"].clone();
    let wish = json!({ "name": "gpu", "visibility": "selected", "selected_organization_ids": [org] });
    let made = ask("POST", THERE, wish).await;
    assert_eq!(made.status, 201, "{made:?}");
    let one = format!("{THERE}/{}", made.body["id"]);
    assert_eq!(made.body["selected_organizations_url"], format!("{}{one}/organizations", github.twin.url()));
    assert_eq!(
        ask("GET", &format!("{one}/organizations"), Value::Null).await.body["organizations"][0]["login"],
        "acme"
    );
    let none = json!({ "selected_organization_ids": [] });
    assert_eq!(ask("PUT", &format!("{one}/organizations"), none).await.status, 204);
    let unknown = json!({ "selected_organization_ids": [7] });
    assert_eq!(ask("PUT", &format!("{one}/organizations"), unknown).await.status, 422);
    assert_eq!(
        ask("PATCH", &one, json!({ "visibility": "private" })).await.status,
        422,
        "this field belongs to organisations"
    );

    let mut body = wanted("box");
    body["runner_group_id"] = made.body["id"].clone();
    let jit = ask("POST", "/enterprises/initech/actions/runners/generate-jitconfig", body).await;
    assert_eq!(jit.status, 201, "{jit:?}");
    assert_eq!(listed(&ask("GET", &format!("{one}/runners"), Value::Null).await, "runners"), ["box"]);
    assert_eq!(
        listed(&github.get(GROUPS).await, "runner_groups"),
        ["Default"],
        "the organisation has its own"
    );
    assert_eq!(github.get(THERE).await.status, 403, "no App's token");
    assert_eq!(ask("DELETE", &one, Value::Null).await.status, 204);
}
