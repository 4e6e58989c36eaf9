//! Runner groups of organisations and enterprises.

use serde_json::{Value, json};

use super::{super::support::wanted, Checked};

/// Parameters of the group calls of an organisation or enterprise: template, path, id of a runner in the scope, and the
/// accounts a group can be opened to.
struct Groups<'a> {
    template: &'a str,
    at: &'a str,
    runner: u64,
    selects: &'a str,
    ids: &'a str,
    selected: Value,
}

async fn groups(c: &mut Checked, of: Groups<'_>) {
    let (template, at) = (of.template, of.at);
    c.get(template, at, 200).await;
    let wish = json!({"name": "gpu", "visibility": "selected", of.ids: [of.selected]});
    let made = c.call("POST", template, at, wish, 201).await;
    let (one, path) = (format!("{template}/{{runner_group_id}}"), format!("{at}/{}", made["id"]));
    c.get(&one, &path, 200).await;
    c.call("PATCH", &one, &path, json!({"name": "cuda"}), 200).await;
    let (runners, here) = (format!("{one}/runners"), format!("{path}/runners"));
    c.call("PUT", &runners, &here, json!({"runners": [of.runner]}), 204).await;
    c.get(&runners, &here, 200).await;
    let (single, here) = (format!("{runners}/{{runner_id}}"), format!("{here}/{}", of.runner));
    c.call("DELETE", &single, &here, Value::Null, 204).await;
    c.call("PUT", &single, &here, Value::Null, 204).await;
    let (open_to, here) = (format!("{one}/{}", of.selects), format!("{path}/{}", of.selects));
    c.call("PUT", &open_to, &here, json!({of.ids: [of.selected]}), 204).await;
    c.get(&open_to, &here, 200).await;
    if of.selects == "repositories" {
        let (single, here) = (format!("{open_to}/{{repository_id}}"), format!("{here}/{}", of.selected));
        c.call("DELETE", &single, &here, Value::Null, 204).await;
        c.call("PUT", &single, &here, Value::Null, 204).await;
    }
    c.call("DELETE", &one, &path, Value::Null, 204).await;
}

pub(super) async fn organization(c: &mut Checked) {
    let of = Groups {
        template: "/orgs/{org}/actions/runner-groups",
        at: "/orgs/acme/actions/runner-groups",
        runner: c.github.runner("grouped").await,
        selects: "repositories",
        ids: "selected_repository_ids",
        selected: c.github.get("/repos/acme/web").await.body["id"].clone(),
    };
    groups(c, of).await;
}

/// Calls the group endpoints of the enterprise with the personal token.
pub(super) async fn enterprise(c: &mut Checked) {
    let jit = "/enterprises/initech/actions/runners/generate-jitconfig";
    let made = c.github.call("POST", jit, &wanted("grouped")).await;
    let of = Groups {
        template: "/enterprises/{enterprise}/actions/runner-groups",
        at: "/enterprises/initech/actions/runner-groups",
        runner: made.body["runner"]["id"].as_u64().unwrap(),
        selects: "organizations",
        ids: "selected_organization_ids",
        selected: c.github.get("/orgs/acme").await.body["id"].clone(),
    };
    groups(c, of).await;
}
