//! Account, token, App and installation endpoints of the twin.

use serde_json::{Value, json};

use super::{super::support::read, Checked};

pub(super) async fn accounts(c: &mut Checked) {
    c.get("/", "/", 200).await;
    c.get("/orgs/{org}", "/orgs/acme", 200).await;
    c.get("/orgs/{org}", "/orgs/other", 404).await;
    for login in ["acme", "octo-person", "runner-tokens[bot]"] {
        c.get("/users/{username}", &format!("/users/{login}"), 200).await;
    }
    c.get("/users/{username}", "/users/other", 404).await;
    c.get("/repos/{owner}/{repo}", "/repos/acme/web", 200).await;
    c.get("/repos/{owner}/{repo}", "/repos/acme/other", 404).await;
    c.get("/apps/{app_slug}", "/apps/runner-tokens", 200).await;
    c.get("/apps/{app_slug}", "/apps/other", 404).await;
    let control = c.github.twin.control();
    for permission in ["organization_hooks", "repository_hooks"] {
        control.permit(5_151_515, permission, Some("read")).unwrap();
    }
    c.get("/orgs/{org}/hooks", "/orgs/acme/hooks", 200).await;
    c.get("/repos/{owner}/{repo}/hooks", "/repos/acme/web/hooks", 200).await;
}

/// Calls about the token itself. The last one revokes it.
pub(super) async fn own_token(c: &mut Checked) {
    let repositories = "/installation/repositories";
    c.get(repositories, repositories, 200).await;
    let anonymous = read(c.github.request("GET", repositories)).await.unwrap();
    assert_eq!(anonymous.status, 401);
    c.check(repositories, "GET", anonymous);
    c.app("GET", repositories, repositories, 403).await;
    let first = c.github.get(repositories).await;
    let tag = first.header("etag").unwrap().to_owned();
    let again = c.github.request("GET", repositories).bearer_auth(&c.github.token);
    let again = read(again.header("if-none-match", tag)).await.unwrap();
    assert_eq!(again.status, 304);
    c.check(repositories, "GET", again);
    c.call("DELETE", "/installation/token", "/installation/token", Value::Null, 204).await;
}

pub(super) async fn app(c: &mut Checked) {
    c.app("GET", "/app", "/app", 200).await;
    c.app("GET", "/app/installations", "/app/installations", 200).await;
    c.app("GET", "/orgs/{org}/installation", "/orgs/acme/installation", 200).await;
    c.app("GET", "/repos/{owner}/{repo}/installation", "/repos/acme/web/installation", 200).await;
    c.app("GET", "/repos/{owner}/{repo}/installation", "/repos/nobody/web/installation", 404).await;
    c.app("GET", "/users/{username}/installation", "/users/acme/installation", 200).await;
    let hook = "/app/hook/config";
    c.app("GET", hook, hook, 200).await;
    c.app("PATCH", hook, hook, 200).await;
    let one = "/app/installations/{installation_id}";
    let (here, gone) = ("/app/installations/5151515", "/app/installations/1");
    c.app("GET", one, here, 200).await;
    c.app("GET", one, gone, 404).await;
    c.app("DELETE", one, gone, 404).await;

    let tokens = format!("{one}/access_tokens");
    let path = format!("{here}/access_tokens");
    c.app("POST", &tokens, &path, 201).await;
    c.app("POST", &tokens, &format!("{gone}/access_tokens"), 404).await;
    let bad = c.github.with_token("ghs_x", "POST", &path, &Value::Null).await;
    assert_eq!(bad.status, 401);
    c.check(&tokens, "POST", bad);
    let much = json!({"permissions": {"contents": "write"}});
    let much = c.github.with_token(&c.github.app_jwt(), "POST", &path, &much).await;
    assert_eq!(much.status, 422);
    c.check(&tokens, "POST", much);

    let suspended = format!("{one}/suspended");
    c.app("PUT", &suspended, &format!("{here}/suspended"), 204).await;
    c.app("GET", one, here, 200).await;
    c.app("POST", &tokens, &path, 403).await;
    c.app("PUT", &suspended, &format!("{gone}/suspended"), 404).await;
    c.app("DELETE", &suspended, &format!("{here}/suspended"), 204).await;
    c.app("DELETE", &suspended, &format!("{gone}/suspended"), 404).await;
    c.app("DELETE", one, here, 204).await;
}
