//! Life of a session: what ends it, and what it does not open.

use harness::{Browser, World};
use serde_json::json;

/// Checks that the browser is signed out.
async fn assert_signed_out(browser: &Browser, reason: &str) {
    let page = browser.get("/sessions").await;
    assert_eq!(page.status, 303, "{reason}: {}", page.text);
    assert_eq!(page.header("location"), "/sign-in?to=%2Fsessions&reason=ended", "{reason}");
    assert_eq!(browser.cookie("__Host-rts"), None, "{reason}");
}

#[tokio::test]
async fn session_ends_with_its_time_its_person_or_its_issuer() {
    let world = World::builder().workers(0).start().await;
    let admin = world.admin().await;
    for (nth, reason) in
        ["idle", "expired", "ended", "deactivated", "unbound", "reactivated"].into_iter().enumerate()
    {
        let person = world.user(&format!("person-{nth}"), &[]).await;
        let browser = world.sign_in(&person).await;
        browser.get("/sessions").await.assert_status(200);
        let id = person.id.uuid();
        match reason {
            "idle" => {
                let sql = "UPDATE sessions SET seen_at = now() - interval '9 hours' WHERE user_id = $1";
                world.change(sql, id).await;
            }
            "expired" => world.change("UPDATE sessions SET expires_at = now() WHERE user_id = $1", id).await,
            "ended" => world.change("UPDATE sessions SET ended_at = now() WHERE user_id = $1", id).await,
            "unbound" => {
                world.post(&format!("/admin/users/{id}/unbind"), &admin, &json!({})).await.assert_status(200);
            }
            _ => {
                world.delete(&format!("/admin/users/{id}"), &admin).await.assert_status(204);
                if reason == "reactivated" {
                    let path = format!("/admin/users/{id}/activate");
                    world.post(&path, &admin, &json!({})).await.assert_status(200);
                }
            }
        }
        assert_signed_out(&browser, reason).await;
    }
}

#[tokio::test]
async fn incident_at_an_issuer_ends_its_sessions_for_good() {
    let world = World::builder().workers(0).issuers(2).start().await;
    let second = world.issuers[1].url().to_owned();
    let admin = world.admin().await;
    let mut draft = world.user_draft("eve");
    draft.issuer = Some(second.clone());
    let eve = world.person(draft, &[]).await;
    let browser = world.sign_in(&eve).await;
    sqlx::query("UPDATE sessions SET issuer = $1").bind(&second).execute(world.sql()).await.unwrap();
    browser.get("/sessions").await.assert_status(200);
    let body = json!({ "issuer": second, "reason": "its signing key has leaked" });
    let begun = world.post("/admin/incidents", &admin, &body).await;
    assert!(begun.status < 300, "{}", begun.text);
    assert_signed_out(&browser, "issuer blocked").await;
    assert_eq!(world.count("SELECT count(*) FROM sessions WHERE ended_at IS NULL").await, 0);
}

#[tokio::test]
async fn signing_out_everywhere_ends_every_browser() {
    let world = World::builder().workers(0).start().await;
    let ada = world.viewer("ada").await;
    let bob = world.user("bob", &[]).await;
    let (here, there, other) =
        (world.sign_in(&ada).await, world.sign_in(&ada).await, world.sign_in(&bob).await);
    let listed = here.get("/sessions").await.assert_status(200);
    assert_eq!(listed.text.matches("End this session").count(), 2, "{}", listed.text);
    let done = here.post("/sessions/end-all", &[]).await.assert_status(303);
    assert!(done.header("location").starts_with("/sign-in?reason=signed-out-everywhere&issuer="));
    // Without an automatic sign-in, which would bring the person back at once.
    here.get(done.header("location")).await.assert_status(200);
    assert_signed_out(&there, "everywhere").await;
    other.get("/sessions").await.assert_status(200);
    assert_eq!(world.count("SELECT count(*) FROM audit_log WHERE event_type = 'session.end'").await, 1);
}

#[tokio::test]
async fn person_ends_only_their_own_sessions() {
    let world = World::builder().workers(0).start().await;
    let (ada, bob) = (world.user("ada", &[]).await, world.user("bob", &[]).await);
    let (browser, other) = (world.sign_in(&ada).await, world.sign_in(&bob).await);
    let id: uuid::Uuid = sqlx::query_scalar("SELECT id FROM sessions WHERE user_id = $1")
        .bind(bob.id.uuid())
        .fetch_one(world.sql())
        .await
        .unwrap();
    browser.post(&format!("/sessions/{id}/end"), &[]).await.assert_status(404);
    browser.post("/sessions/nonsense/end", &[]).await.assert_status(404);
    other.get("/sessions").await.assert_status(200);
    let done = other.post(&format!("/sessions/{id}/end"), &[]).await.assert_status(303);
    assert!(done.header("location").starts_with("/sign-in?reason=signed-out&issuer="));
    assert_eq!(other.cookie("__Host-rts"), None);
    let done = browser.post("/session/end", &[]).await.assert_status(303);
    assert!(done.header("location").starts_with("/sign-in?reason=signed-out&issuer="));
}

#[tokio::test]
async fn request_of_another_site_changes_nothing() {
    let world = World::builder().workers(0).start().await;
    let ada = world.user("ada", &[]).await;
    let browser = world.sign_in(&ada).await;
    for headers in [
        vec![],
        vec![("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site")],
        vec![("sec-fetch-site", "none")],
        vec![("sec-fetch-site", "cross-site"), ("origin", world.url())],
        vec![("origin", "https://evil.example")],
        vec![("origin", "null")],
    ] {
        let mut request = browser.request("POST", "/session/end").form(&[("a", "b")]);
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let refused = browser.send(request).await;
        assert_eq!(refused.status, 403, "{headers:?}: {}", refused.text);
        assert!(refused.text.contains("cross_site_request"), "{}", refused.text);
    }
    browser.get("/sessions").await.assert_status(200);
    // Browsers without `Sec-Fetch-Site` send `Origin`.
    let request = browser.request("POST", "/session/end").header("origin", world.url()).form(&[("a", "b")]);
    browser.send(request).await.assert_status(303);
}

#[tokio::test]
async fn cookie_opens_no_call_and_token_opens_no_page() {
    let world = World::builder().workers(0).start().await;
    let admin = world.admin().await;
    let browser = world.sign_in(&admin).await;
    let request = browser.request("GET", "/api/v1/admin/users").header("sec-fetch-site", "same-origin");
    let page = browser.send(request).await.assert_status(401);
    assert!(page.header("content-type").starts_with("text/html"), "{}", page.header("content-type"));
    assert!(page.text.contains("dashboard") && page.text.contains("unauthenticated"), "{}", page.text);
    let cookie = format!("__Host-rts={}", browser.cookie("__Host-rts").unwrap());
    let refused = world.ask("GET", "/admin/users").header("cookie", &cookie).send().await;
    refused.refused(401, "unauthenticated");
    let refused =
        world.ask("DELETE", &format!("/admin/users/{}", admin.id)).header("cookie", &cookie).send().await;
    refused.refused(401, "unauthenticated");

    let stranger = world.browser();
    let request = stranger.request("GET", "/sessions").bearer_auth(&admin.token);
    stranger.send(request).await.assert_status(303);
    let request = stranger.request("POST", "/session/end").header("sec-fetch-site", "same-origin");
    let refused = stranger.send(request.bearer_auth(&admin.token)).await.assert_status(401);
    assert!(refused.text.contains("session_needed"), "{}", refused.text);
}

#[tokio::test]
async fn new_session_replaces_that_of_the_browser_and_the_oldest_beyond_ten() {
    let world = World::builder().workers(0).start().await;
    let ada = world.user("ada", &[]).await;
    let browser = world.sign_in(&ada).await;
    for _ in 0..9 {
        world.sign_in(&ada).await;
    }
    let open = "SELECT count(*) FROM sessions WHERE ended_at IS NULL";
    assert_eq!(world.count(open).await, 10);
    let before = browser.cookie("__Host-rts").unwrap();
    let start = browser.get("/session/start").await.assert_status(303);
    let click = format!("{}&person=ada", start.header("location"));
    let back = browser.send(browser.request("GET", &click)).await.assert_status(302);
    let callback = back.header("location").strip_prefix(world.url()).unwrap().to_owned();
    browser.send(browser.request("GET", &callback)).await.assert_status(303);
    assert_ne!(browser.cookie("__Host-rts").unwrap(), before);
    assert_eq!(world.count(open).await, 10);
    let old = world.browser();
    old.set_cookie("__Host-rts", &before);
    assert_signed_out(&old, "replaced").await;
    world.sign_in(&ada).await;
    browser.get("/sessions").await.assert_status(200);
}

#[tokio::test]
async fn expired_sessions_and_sign_ins_are_removed() {
    let world = World::builder().workers(0).start().await;
    let ada = world.user("ada", &[]).await;
    world.sign_in(&ada).await;
    let browser = world.sign_in(&ada).await;
    browser.get("/session/start").await.assert_status(303);
    sqlx::query("UPDATE sessions SET expires_at = now() - interval '2 days' WHERE id IN (SELECT min(id::text)::uuid FROM sessions)")
        .execute(world.sql())
        .await
        .unwrap();
    sqlx::query("UPDATE sign_ins SET expires_at = now() - interval '1 second'")
        .execute(world.sql())
        .await
        .unwrap();
    scheduler::prune::run(world.scheduler_parts()).await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM sessions").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM sign_ins").await, 0);
}

#[tokio::test]
async fn person_who_signs_out_is_offered_to_sign_out_at_the_issuer_too() {
    let world = World::builder().workers(0).start().await;
    let ada = world.user("ada", &[]).await;
    let browser = world.sign_in(&ada).await;
    let done = browser.post("/session/end", &[]).await.assert_status(303);
    let page = browser.get(done.header("location")).await.assert_status(200);
    let issuer = world.issuer().url();
    assert!(page.text.contains("Sign out at 127.0.0.1"), "{}", page.text);
    let (_, link) =
        page.text.split_once(&format!(r#"href="{issuer}/end-session?"#)).expect("the issuer's page");
    let link = format!("{issuer}/end-session?{}", link.split_once('"').unwrap().0);
    browser.send(browser.request("GET", &link)).await.assert_status(200);
    // Nobody is sent to an issuer that this service does not trust.
    let other = browser.get("/sign-in?reason=signed-out&issuer=https%3A%2F%2Fevil.example").await;
    assert!(!other.assert_status(200).text.contains("evil.example"));

    // An issuer that does not answer keeps nobody signed in.
    let world = World::builder().workers(0).start().await;
    let browser = world.sign_in(&world.user("ada", &[]).await).await;
    world.issuer().fault_discovery(Some(dev_issuer::IssuerFault::Down));
    let done = browser.post("/session/end", &[]).await.assert_status(303);
    let page = browser.get(done.header("location")).await.assert_status(200);
    assert!(
        page.text.contains("You are signed out here.") && !page.text.contains("Sign out at"),
        "{}",
        page.text
    );
    assert_eq!(world.count("SELECT count(*) FROM sessions WHERE ended_at IS NULL").await, 0);
}

#[tokio::test]
async fn pages_and_the_api_have_limits_of_their_own() {
    let world = World::builder().workers(0).rate(1, 3).start().await;
    let ada = world.user("ada", &[]).await;
    let browser = world.sign_in(&ada).await;
    for _ in 0..3 {
        browser.get("/sessions").await.assert_status(200);
    }
    let page = browser.get("/sessions").await.assert_status(429);
    assert!(page.text.contains("Too many pages at once"), "{}", page.text);
    for _ in 0..3 {
        world.get("/auth/me", &ada).await.assert_status(200);
    }
    world.get("/auth/me", &ada).await.refused(429, "rate_limited");
}
