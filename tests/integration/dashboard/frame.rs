//! Frame of the pages: headers, assets, the verdict, names with markup, and stores that are away.

use devstack::Server;
use harness::{World, eventually};
use store::UserDraft;

#[tokio::test]
async fn pages_have_strict_headers_and_are_never_stored() {
    let world = World::builder().workers(0).start().await;
    let browser = world.sign_in(&world.admin().await).await;
    for path in ["/", "/sessions", "/sign-in?reason=signed-out", "/no-such-page"] {
        let page = browser.get(path).await;
        let policy = page.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self';",
            "style-src 'self';",
            "frame-ancestors 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert_eq!(page.header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(page.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
        for forbidden in ["<script>", " style=", " onclick=", "javascript:"] {
            assert!(!page.text.contains(forbidden), "{path} has {forbidden}");
        }
    }
}

#[tokio::test]
async fn assets_are_compressed_and_kept_by_their_hash() {
    let world = World::builder().workers(0).start().await;
    let page = world.browser().get("/sign-in?reason=signed-out").await.assert_status(200);
    let path = page.text.split('"').find(|part| part.ends_with("/ui.css")).unwrap().to_owned();
    let browser = world.browser();
    let css = browser
        .send(browser.request("GET", &path).header("accept-encoding", "gzip"))
        .await
        .assert_status(200);
    assert_eq!(css.header("content-encoding"), "gzip");
    assert_eq!(css.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(css.header("content-type"), "text/css; charset=utf-8");
    let plain = browser.get(&path).await.assert_status(200);
    assert_eq!(plain.header("content-encoding"), "");
    assert!(plain.text.contains("light-dark("));
    // During an upgrade a page of one version asks a replica of another one.
    let other = browser.get("/assets/000000000000/ui.css").await.assert_status(200);
    assert_eq!(other.header("cache-control"), "no-cache");
    browser.get("/assets/000000000000/../../Cargo.toml").await.assert_status(404);
}

#[tokio::test]
async fn admin_sees_the_board_and_member_their_runners() {
    let world = World::builder().workers(0).start().await;
    let admin = world.sign_in(&world.admin().await).await;
    let board = eventually("the verdict on the board", || async {
        let page = admin.get("/").await.assert_status(200);
        page.text
            .contains("State of the service")
            .then_some(page)
            .filter(|page| page.text.contains("class=\"level\""))
    })
    .await;
    assert!(board.text.contains("– Board – RTS</title>"), "{}", board.text);
    let viewer = world.sign_in(&world.viewer("eye").await).await;
    viewer.get("/").await.assert_status(200);
    let member = world.sign_in(&world.user("ada", &[]).await).await;
    let front = member.get("/").await.assert_status(303);
    assert_eq!(front.header("location"), "/runners");
    let page = member.get("/sessions").await.assert_status(200);
    assert!(!page.text.contains("/workers") && !page.text.contains("class=\"strip\""), "{}", page.text);
}

#[tokio::test]
async fn program_that_opens_the_front_page_gets_a_problem() {
    let world = World::builder().workers(0).start().await;
    world.request("GET", "/").send().await.refused(404, "not_found");
    world.request("GET", "/").header("accept", "application/json").send().await.refused(404, "not_found");
    world.request("GET", "/api/v1/nothing").header("accept", "*/*").send().await.refused(404, "not_found");
}

#[tokio::test]
async fn name_with_markup_is_shown_as_text() {
    let world = World::builder().workers(0).start().await;
    let name = "\"><script>alert(1)</script>".to_owned();
    let draft = UserDraft { display_name: Some(name.clone()), ..world.user_draft("eve") };
    let browser = world.sign_in(&world.person(draft, &[]).await).await;
    let page = browser.get("/sessions").await.assert_status(200);
    assert!(!page.text.contains("<script>alert"), "{}", page.text);
    assert!(
        page.text.contains("script&#62;alert(1)") || page.text.contains("script&gt;alert(1)"),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn store_that_is_away_has_its_sentence_on_the_page() {
    let world = World::builder().workers(0).own_servers().start().await;
    let browser = world.sign_in(&world.admin().await).await;
    browser.get("/").await.assert_status(200);
    world.servers(|stack| stack.halt(Server::Redis)).await;
    eventually("the page that says Redis is away", || async {
        let page = browser.get("/").await.assert_status(200);
        let since = r#"Redis does not answer since <time datetime="20"#;
        (page.text.contains(since) && page.text.contains(" UTC</time>; requests are accepted")).then_some(())
    })
    .await;
    world.servers(|stack| stack.restart(Server::Redis)).await;
    world.servers(|stack| stack.halt(Server::Postgres)).await;
    let page = eventually("the page that says the database is away", || async {
        Some(browser.get("/").await).filter(|page| page.status == 503)
    })
    .await;
    let verdict = "The database does not answer; no request is accepted.";
    for part in [
        verdict,
        r#"<section class="verdict stopped""#,
        "<title>■ Stopped – ",
        "favicon-stopped.svg",
        "/health/ready",
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    assert!(
        page.text.contains("The database has not answered since ") && page.text.contains(" UTC, so"),
        "{}",
        page.text
    );
    assert!(page.header("content-type").starts_with("text/html"));
    world.servers(|stack| stack.restart(Server::Postgres)).await;
    eventually("the page after the outage", || async {
        Some(browser.get("/").await).filter(|page| page.status == 200)
    })
    .await;
}
