//! Twin endpoints that client libraries read before any runner call: accounts, repositories, the token itself.

use base64::{Engine, engine::general_purpose::STANDARD};
use github_twin::{PersonalToken, TwinConfig, ViolationKind, WebhookConfig};
use serde_json::{Value, json};

use super::support::{Github, RUNNERS, read};

const MINT: &str = "/app/installations/5151515/access_tokens";

fn names(repositories: &Value) -> Vec<&str> {
    repositories.as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn token_for_selected_repositories_covers_no_other_one() {
    let github = Github::start().await;
    let web = github.get("/repos/acme/web").await;
    let by_id = json!({ "repository_ids": [web.body["id"]], "permissions": {"administration": "read"} });
    for asked in [json!({ "repositories": ["WEB"] }), by_id] {
        let made = github.app("POST", MINT, &asked).await;
        assert_eq!((made.status, &made.body["repository_selection"]), (201, &json!("selected")), "{asked}");
        assert_eq!(names(&made.body["repositories"]), ["web"]);
        let token = made.body["token"].as_str().unwrap();
        let get = |path: &'static str| github.with_token(token, "GET", path, &Value::Null);
        let listed = get("/installation/repositories").await.body;
        assert_eq!(
            (&listed["total_count"], &listed["repository_selection"]),
            (&json!(1), &json!("selected"))
        );
        assert_eq!(names(&listed["repositories"]), ["web"]);
        assert_eq!(get("/repos/acme/web/actions/runners").await.status, 200);
        for path in ["/repos/acme/api", "/repos/acme/api/actions/runners", "/repos/acme/nothing"] {
            assert_eq!(get(path).await.status, 404, "{path}");
        }
    }
}

#[tokio::test]
async fn token_for_unknown_repository_is_refused() {
    let github = Github::start().await;
    for asked in [
        json!({ "repositories": ["web", "nothing"] }),
        json!({ "repository_ids": [7] }),
        json!({ "repositories": "web" }),
        json!({ "repositories": vec!["web"; 501] }),
    ] {
        assert_eq!(github.app("POST", MINT, &asked).await.status, 422, "{asked}");
    }
    let made = github.app("POST", MINT, &json!({})).await;
    assert_eq!(made.body["repository_selection"], "all");
    assert!(made.body.get("repositories").is_none());
}

#[tokio::test]
async fn repository_of_a_queued_job_exists_from_then_on() {
    let github = Github::start().await;
    assert_eq!(github.get("/repos/acme/docs").await.status, 404);
    github.twin.control().queue_job("acme/docs", &[]).unwrap();
    assert_eq!(github.get("/repos/acme/docs").await.body["full_name"], "acme/docs");
    let listed = github.get("/installation/repositories?per_page=2").await;
    assert_eq!(listed.body["total_count"], 3);
    assert!(listed.header("link").unwrap().contains("rel=\"next\""));
    let installation = github.app("GET", "/repos/acme/nothing/installation", &Value::Null).await;
    assert_eq!(installation.status, 404);
}

#[tokio::test]
async fn revoked_token_is_refused() {
    let github = Github::start().await;
    let other = github.mint().await;
    assert_eq!(github.delete("/installation/token").await.status, 204);
    let refused = github.get(RUNNERS).await;
    assert_eq!((refused.status, refused.message()), (401, "Bad credentials"));
    assert_eq!(github.delete("/installation/token").await.status, 401);
    assert_eq!(github.with_token(&other, "GET", RUNNERS, &Value::Null).await.status, 200);
    assert_eq!(github.app("DELETE", "/installation/token", &Value::Null).await.status, 403);
}

#[tokio::test]
async fn accounts_are_found_by_their_logins() {
    let github = Github::start().await;
    let org = github.get("/orgs/ACME").await;
    assert_eq!(
        (org.status, &org.body["login"], &org.body["type"]),
        (200, &json!("acme"), &json!("Organization"))
    );
    for (login, kind) in
        [("acme", "Organization"), ("octo-person", "User"), ("runner-tokens%5Bbot%5D", "Bot")]
    {
        let user = github.get(&format!("/users/{login}")).await;
        assert_eq!((user.status, &user.body["type"]), (200, &json!(kind)), "{login}");
    }
    for path in ["/orgs/other", "/users/other", "/apps/other"] {
        assert_eq!(github.get(path).await.status, 404, "{path}");
    }
    let here = github.app("GET", "/users/acme/installation", &Value::Null).await;
    assert_eq!(here.body["id"], 5_151_515);
    assert_eq!(github.app("GET", "/users/octo-person/installation", &Value::Null).await.status, 404);
    let public = read(github.request("GET", "/apps/runner-tokens")).await.unwrap();
    assert_eq!((public.status, &public.body["id"]), (200, &json!(424_242)));
    assert!(public.body.get("installations_count").is_none(), "the public page does not count them");
}

#[tokio::test]
async fn root_names_the_addresses_below_the_base_path() {
    let github = Github::with(TwinConfig { base_path: "/api/v3".into(), ..TwinConfig::default() }).await;
    for path in ["", "/"] {
        let root = github.get(path).await;
        let url = root.body["rate_limit_url"].as_str().unwrap();
        assert_eq!(url, format!("{}/rate_limit", github.twin.url()));
    }
}

#[tokio::test]
async fn basic_password_is_the_token() {
    let github = Github::with(TwinConfig {
        personal_tokens: vec![PersonalToken::new("ghp_org", "admin:org")],
        ..TwinConfig::default()
    })
    .await;
    let status = async |pair: String| {
        let value = format!("Basic {}", STANDARD.encode(pair));
        read(github.request("GET", RUNNERS).header("authorization", value)).await.unwrap().status
    };
    for (pair, want) in [
        (format!("x-access-token:{}", github.token), 200),
        ("ada:ghp_org".to_owned(), 200),
        ("ghp_org:x-oauth-basic".to_owned(), 200),
        ("ghp_org:".to_owned(), 200),
        ("ada:ghp_nothing".to_owned(), 401),
        ("ghp_org".to_owned(), 401),
    ] {
        assert_eq!(status(pair.clone()).await, want, "{pair}");
    }
    assert_eq!(github.twin.ledger().count(ViolationKind::BadToken), 2);
}

#[tokio::test]
async fn browsers_may_ask_from_any_origin() {
    let github = Github::start().await;
    let used = github.get("/rate_limit").await.number("x-ratelimit-used");
    for path in ["/", RUNNERS, "/nothing/here"] {
        let reply = read(github.request("OPTIONS", path).header("origin", "https://app.example.com")).await;
        let reply = reply.unwrap();
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, Some("*")), "{path}");
        assert!(reply.header("access-control-allow-headers").unwrap().contains("Authorization"));
        assert!(reply.header("access-control-allow-methods").unwrap().contains("DELETE"));
        assert!(reply.header("x-ratelimit-remaining").is_none());
    }
    let after = github.get("/rate_limit").await;
    assert_eq!(after.number("x-ratelimit-used"), used, "nothing is counted");
    assert_eq!(after.header("access-control-allow-origin"), Some("*"));
    assert!(after.header("access-control-expose-headers").unwrap().contains("X-RateLimit-Remaining"));
}

#[tokio::test]
async fn webhook_of_the_app_can_be_read_and_moved() {
    let webhook = Some(WebhookConfig::new("http://127.0.0.1:9/hook", "old"));
    let github = Github::with(TwinConfig { webhook, ..TwinConfig::default() }).await;
    let old = github.app("GET", "/app/hook/config", &Value::Null).await;
    assert_eq!(
        (&old.body["url"], &old.body["secret"]),
        (&json!("http://127.0.0.1:9/hook"), &json!("********"))
    );
    let (inbox, url) = super::webhooks::Inbox::open().await;
    let moved = github.app("PATCH", "/app/hook/config", &json!({ "url": url, "secret": "new" })).await;
    assert_eq!((moved.status, &moved.body["url"]), (200, &json!(url)));
    for wrong in [json!({ "url": "ftp://x" }), json!({ "secret": 7 }), json!({ "content_type": "form" })] {
        assert_eq!(github.app("PATCH", "/app/hook/config", &wrong).await.status, 422, "{wrong}");
    }
    github.twin.control().queue_job("acme/web", &[]).unwrap();
    github.twin.webhooks_sent().await;
    let (headers, body) = inbox.raw().remove(0);
    assert_eq!(headers["x-hub-signature-256"].to_str().unwrap(), github_twin::signature("new", &body));
    let none = Github::start().await.app("GET", "/app/hook/config", &Value::Null).await;
    assert!(none.body.get("url").is_none());
}

#[tokio::test]
async fn hooks_of_organisations_and_repositories_need_their_own_permission() {
    let github = Github::with(TwinConfig {
        personal_tokens: vec![
            PersonalToken::new("ghp_hooks", "admin:org_hook"),
            PersonalToken::new("ghp_repo", "repo"),
        ],
        ..TwinConfig::default()
    })
    .await;
    for (token, path, status) in [
        ("ghp_hooks", "/orgs/acme/hooks", 200),
        ("ghp_hooks", "/repos/acme/web/hooks", 404),
        ("ghp_hooks", "/orgs/other/hooks", 404),
        ("ghp_repo", "/repos/acme/web/hooks", 200),
        ("ghp_repo", "/repos/acme/nothing/hooks", 404),
        ("ghp_repo", "/orgs/acme/hooks", 404),
    ] {
        assert_eq!(
            github.with_token(token, "GET", path, &Value::Null).await.status,
            status,
            "{token} {path}"
        );
    }
    assert_eq!(github.get("/orgs/acme/hooks").await.status, 403);
    github.twin.control().permit(5_151_515, "organization_hooks", Some("read")).unwrap();
    assert_eq!(github.get("/orgs/acme/hooks").await.body, json!([]));
}
