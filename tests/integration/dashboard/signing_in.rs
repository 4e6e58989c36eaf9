//! Sign-in to the dashboard at an issuer, and everything that must not lead to a session.

use dev_issuer::{IssuerFault, SignInFault};
use harness::{ApiResponse, Browser, Person, World};

/// Sends the browser to the issuer, clicks a person there, and returns the address of the callback.
async fn choose(world: &World, browser: &Browser, person: &str, to: &str) -> String {
    let start = browser.get(&format!("/session/start?to={to}")).await.assert_status(303);
    let at_issuer = start.header("location").to_owned();
    assert!(at_issuer.starts_with(world.issuer().url()), "{at_issuer}");
    let people = browser.send(browser.request("GET", &at_issuer)).await.assert_status(200);
    assert!(people.text.contains("Ada"), "{}", people.text);
    let back = browser.send(browser.request("GET", &format!("{at_issuer}&person={person}"))).await;
    let back = back.assert_status(302).header("location").to_owned();
    back.strip_prefix(world.url()).expect("an address of this service").to_owned()
}

/// Signs in by clicks and returns the last answer.
async fn sign_in(world: &World, browser: &Browser, person: &str, to: &str) -> ApiResponse {
    let callback = choose(world, browser, person, to).await;
    browser.send(browser.request("GET", &callback)).await
}

async fn count_sessions(world: &World) -> i64 {
    world.count("SELECT count(*) FROM sessions").await
}

async fn world_with_ada() -> (World, Person) {
    let world = World::builder().workers(0).start().await;
    let ada = world.user("ada", &[]).await;
    (world, ada)
}

/// Returns the address without the name and value of one parameter, or with another value.
fn replaced(callback: &str, name: &str, value: Option<&str>) -> String {
    let (path, query) = callback.split_once('?').unwrap();
    let pairs = url::form_urlencoded::parse(query.as_bytes()).filter_map(|(found, old)| {
        if found == name {
            Some((name.to_owned(), value?.to_owned()))
        } else {
            Some((found.into_owned(), old.into_owned()))
        }
    });
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("{path}?{query}")
}

#[tokio::test]
async fn person_signs_in_and_sees_the_page_they_asked_for() {
    let (world, _ada) = world_with_ada().await;
    let browser = world.browser();
    let asked = browser.get("/sessions").await.assert_status(303);
    assert_eq!(asked.header("location"), "/sign-in?to=%2Fsessions");
    // The one issuer is opened without a click.
    let start = browser.get(asked.header("location")).await.assert_status(303);
    assert!(start.header("location").starts_with("/session/start?issuer="), "{}", start.header("location"));
    assert!(start.header("location").ends_with("to=%2Fsessions"));
    let done = sign_in(&world, &browser, "ada", "%2Fsessions").await.assert_status(303);
    assert_eq!(done.header("location"), "/sessions");
    assert_eq!(browser.cookie("__Host-rts-sign-in"), None);
    let page = browser.get("/sessions").await.assert_status(200);
    assert!(page.text.contains("this browser"), "{}", page.text);
    let cookie = browser.cookie("__Host-rts").unwrap();
    assert!(cookie.len() >= 43 && !page.text.contains(&cookie));
    let known: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT id_hash FROM sessions").fetch_all(world.sql()).await.unwrap();
    assert_eq!(known.len(), 1);
    assert_ne!(known[0], cookie.as_bytes(), "the database has the hash alone");
    let audited = "SELECT count(*) FROM audit_log WHERE event_type = 'session.begin' AND success";
    assert_eq!(world.count(audited).await, 1);
}

#[tokio::test]
async fn invited_person_is_bound_by_signing_in() {
    let world = World::builder().workers(0).start().await;
    let mut draft = world.user_draft("ada");
    draft.subject = None;
    world.person(draft, &[]).await;
    let browser = world.browser();
    sign_in(&world, &browser, "ada", "/").await.assert_status(303);
    assert_eq!(world.count("SELECT count(*) FROM users WHERE subject = 'ada'").await, 1);
    browser.get("/sessions").await.assert_status(200);
}

#[tokio::test]
async fn answer_that_this_browser_did_not_ask_for_is_refused() {
    let (world, _ada) = world_with_ada().await;
    let browser = world.browser();
    let callback = choose(&world, &browser, "ada", "/").await;

    // Another browser, which somebody sent the address to.
    let victim = world.browser();
    victim.set_cookie("__Host-rts-sign-in", "of-another-sign-in");
    let refused = victim.send(victim.request("GET", &callback)).await.assert_status(400);
    assert!(refused.text.contains("began in another browser"), "{}", refused.text);
    assert_eq!(victim.cookie("__Host-rts"), None);
    // The state is used up by that.
    browser.send(browser.request("GET", &callback)).await.assert_status(400);

    for (name, value) in [("state", Some("other")), ("state", None), ("code", None), ("code", Some("other"))]
    {
        let callback = choose(&world, &browser, "ada", "/").await;
        let answer = browser.send(browser.request("GET", &replaced(&callback, name, value))).await;
        assert_eq!(answer.status, 400, "{name} {value:?}: {}", answer.text);
        assert!(answer.text.contains("Sign in with"), "{}", answer.text);
    }
    assert_eq!(count_sessions(&world).await, 0);
}

#[tokio::test]
async fn answer_is_used_once_and_not_after_ten_minutes() {
    let (world, _ada) = world_with_ada().await;
    let browser = world.browser();
    let callback = choose(&world, &browser, "ada", "/").await;
    let sign_in_cookie = browser.cookie("__Host-rts-sign-in").unwrap();
    browser.send(browser.request("GET", &callback)).await.assert_status(303);
    browser.set_cookie("__Host-rts-sign-in", &sign_in_cookie);
    browser.send(browser.request("GET", &callback)).await.assert_status(400);
    assert_eq!(count_sessions(&world).await, 1);

    let late = choose(&world, &browser, "ada", "/").await;
    sqlx::query("UPDATE sign_ins SET expires_at = now() - interval '1 second'")
        .execute(world.sql())
        .await
        .unwrap();
    browser.send(browser.request("GET", &late)).await.assert_status(400);
    assert_eq!(count_sessions(&world).await, 1);
}

#[tokio::test]
async fn wrong_token_or_issuer_begins_no_session() {
    let (world, _ada) = world_with_ada().await;
    let browser = world.browser();
    for (fault, sentence) in [
        (SignInFault::OtherNonce, "nonce"),
        (SignInFault::OtherAudience, "another audience"),
        (SignInFault::OtherIssuer, "does not name the issuer"),
        (SignInFault::NoIssuer, "does not name the issuer"),
        (SignInFault::Refused, "cancelled"),
    ] {
        world.issuer().fault_sign_in(Some(fault));
        let answer = sign_in(&world, &browser, "ada", "/").await;
        assert_eq!(answer.status, 400, "{fault:?}: {}", answer.text);
        assert!(answer.text.contains(sentence), "{fault:?}: {}", answer.text);
        assert!(!answer.text.contains("eyJ"), "no page quotes a token");
    }
    assert_eq!(count_sessions(&world).await, 0);
    world.issuer().fault_sign_in(None);
    sign_in(&world, &browser, "ada", "/").await.assert_status(303);
}

#[tokio::test]
async fn person_who_is_not_known_reads_why_and_whom_to_ask() {
    let (world, ada) = world_with_ada().await;
    let browser = world.browser();
    let stranger = sign_in(&world, &browser, "bob", "/").await.assert_status(403);
    assert!(stranger.text.contains("no user or machine client has this identity"), "{}", stranger.text);
    assert!(stranger.text.contains("bob@example.com"), "{}", stranger.text);
    assert!(stranger.text.contains("choose=true"), "the next attempt offers another account");
    world.change("UPDATE users SET is_active = false WHERE id = $1", ada.id.uuid()).await;
    let inactive = sign_in(&world, &browser, "ada", "/").await.assert_status(403);
    assert!(inactive.text.contains("deactivated"), "{}", inactive.text);
    assert_eq!(count_sessions(&world).await, 0);
}

#[tokio::test]
async fn browser_is_sent_to_the_issuer_without_a_click_only_once() {
    let (world, _ada) = world_with_ada().await;
    let browser = world.browser();
    browser.get("/sign-in?to=/jobs").await.assert_status(303);
    let page = browser.get("/sign-in?to=/jobs").await.assert_status(200);
    assert!(page.text.contains("Sign in with 127.0.0.1"), "{}", page.text);
    let two = World::builder().workers(0).issuers(2).start().await;
    let page = two.browser().get("/sign-in").await.assert_status(200);
    assert_eq!(page.text.matches("Sign in with").count(), 2, "{}", page.text);
}

#[tokio::test]
async fn return_to_another_site_leads_to_the_front_page() {
    let (world, _ada) = world_with_ada().await;
    for to in ["https%3A%2F%2Fevil.example%2F", "%2F%2Fevil.example", "%2F%5Cevil.example", "/session/start"]
    {
        let done = sign_in(&world, &world.browser(), "ada", to).await.assert_status(303);
        assert_eq!(done.header("location"), "/", "{to}");
    }
}

#[tokio::test]
async fn issuer_that_does_not_answer_is_named() {
    let (world, _ada) = world_with_ada().await;
    world.issuer().fault_discovery(Some(IssuerFault::Down));
    let page = world.browser().get("/session/start").await.assert_status(503);
    assert!(page.text.contains("discovery document cannot be read"), "{}", page.text);
    assert!(page.text.contains("Sign in with"), "{}", page.text);
}

#[tokio::test]
async fn service_that_does_not_know_its_address_says_so() {
    let (world, _ada) = world_with_ada().await;
    let browser = world.browser();
    let request = browser.request("GET", "/session/start").header("host", "rts.example.com");
    let page = browser.send(request).await.assert_status(400);
    assert!(page.text.contains("PUBLIC_URL"), "{}", page.text);
    let world = World::builder().workers(0).public_url("https://rts.example.com").start().await;
    let start = world.browser().get("/session/start").await.assert_status(303);
    let uri = "redirect_uri=https%3A%2F%2Frts.example.com%2Fsession%2Fcallback";
    assert!(start.header("location").contains(uri), "{}", start.header("location"));
    assert!(start.header("location").contains("code_challenge_method=S256"));
}
